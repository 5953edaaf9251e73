fn main() {
    gst_plugin_version_helper::info();
    // A released plugin tells its commit; who develops need not compile it anew for a changed test or document.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        println!("cargo:rerun-if-changed=build.rs");
    }
}
