// SPDX-License-Identifier: MPL-2.0

//! What is built in, as `cargo metadata` tells it: each crate that we chose has its reason in docs/dependencies.md, all come from
//! Cargo's own registry under a licence that deny.toml allows, and docs/licenses.md lists them.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test dependencies` writes the list anew. `scripts/supply-chain` checks more, with tools that are not
//! installed everywhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What is distributed; the members besides are for testing.
const DISTRIBUTED: [&str; 2] = ["gst-plugin-whisperstream", "whisperstream-doors"];
/// The list follows this line.
const MARK: &str = "<!-- Written by tests/dependencies.rs. -->\n";

#[test]
fn every_crate_we_chose_has_its_line() {
    let reasons = read("docs/dependencies.md");
    let metadata = metadata();
    let mut missing = BTreeSet::new();
    for member in members(&metadata) {
        for dependency in list(&member["dependencies"]) {
            let names = [&dependency["name"], &dependency["rename"]];
            let mut names = names.into_iter().filter_map(Value::as_str);
            let ours = dependency["path"].is_string();
            if !ours && !names.any(|name| reasons.contains(&format!("`{name}`"))) {
                missing.insert(format!(
                    "{} of {}",
                    text(&dependency["name"]),
                    text(&member["name"])
                ));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "docs/dependencies.md does not say what these spare us: {missing:?}"
    );
}

#[test]
fn all_come_from_the_registry_under_an_allowed_licence() {
    let metadata = metadata();
    let allowed = allowed();
    assert!(allowed.contains("MIT"), "deny.toml was not understood");
    let ours: Vec<&Value> = members(&metadata).map(|member| &member["id"]).collect();
    for package in list(&metadata["packages"]) {
        let name = text(&package["name"]);
        if !ours.contains(&&package["id"]) {
            let source = text(&package["source"]);
            assert!(
                source.starts_with("registry+https://github.com/rust-lang/"),
                "{name} comes from {source:?}"
            );
        }
        let licence = licence(package);
        assert!(
            is_allowed(&licence, &allowed),
            "deny.toml does not allow the licence of {name}: {licence:?}"
        );
    }
}

#[test]
fn a_licence_is_allowed_if_one_of_its_choices_is() {
    let allowed = BTreeSet::from(["A", "B WITH c"].map(str::to_owned));
    for (expression, expected) in [
        ("A", true),
        ("X", false),
        ("X OR A", true),
        ("X AND A", false),
        ("A AND B WITH c", true),
        ("B", false),
        ("(X OR A) AND A", true),
        ("(X OR Y) AND A", false),
        ("X AND A OR A", true),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn the_licences_are_listed() {
    let metadata = metadata();
    let mut by_licence: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for package in linked(&metadata) {
        let names = by_licence.entry(licence(package)).or_default();
        names.insert(text(&package["name"]));
    }
    let mut most_first: Vec<_> = by_licence.into_iter().collect();
    most_first.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let mut list = String::new();
    for (licence, names) in most_first {
        let count = names.len();
        let names: Vec<&str> = names.into_iter().collect();
        list += &format!("\n**{licence}** ({count}): `{}`\n", names.join("`, `"));
    }

    let file = root().join("docs/licenses.md");
    let written = read("docs/licenses.md");
    let (opening, written_list) = written.split_once(MARK).unwrap();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&file, format!("{opening}{MARK}{list}")).unwrap();
        return;
    }
    assert!(
        written_list == list,
        "docs/licenses.md is out of date; UPDATE_SNAPSHOTS=1 cargo test --test dependencies writes it anew:\n{list}"
    );
}

/// What the linker is given for what is distributed, and the macros that wrote parts of it; neither tests nor build scripts.
fn linked(metadata: &Value) -> Vec<&Value> {
    let nodes = list(&metadata["resolve"]["nodes"]);
    let nodes: HashMap<&str, &Value> = nodes.map(|node| (text(&node["id"]), node)).collect();
    let is_distributed = |member: &&Value| DISTRIBUTED.contains(&text(&member["name"]));
    let distributed = members(metadata).filter(is_distributed);
    let mut open: Vec<&str> = distributed.map(|member| text(&member["id"])).collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !found.insert(id) {
            continue;
        }
        for dependency in list(&nodes[id]["deps"]) {
            if list(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null()) {
                open.push(text(&dependency["pkg"]));
            }
        }
    }
    let packages = list(&metadata["packages"]);
    packages
        .filter(|package| found.contains(text(&package["id"])))
        .filter(|package| !DISTRIBUTED.contains(&text(&package["name"])))
        .collect()
}

/// Its expression, in one way to write it: choices by name, `/` as the OR that it once was.
fn licence(package: &Value) -> String {
    let expression = text(&package["license"]).replace('/', " OR ");
    if expression.contains(" AND ") {
        return expression;
    }
    let mut choices: Vec<&str> = expression.split(" OR ").map(str::trim).collect();
    choices.sort_by_key(|choice| (*choice != "MIT", *choice));
    choices.join(" OR ")
}

/// AND binds stronger than OR.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let any = |part: &str| is_allowed(part, allowed);
    if let [_, _, ..] = outside_brackets(expression, " OR ").as_slice() {
        return outside_brackets(expression, " OR ").into_iter().any(any);
    }
    if let [_, _, ..] = outside_brackets(expression, " AND ").as_slice() {
        return outside_brackets(expression, " AND ").into_iter().all(any);
    }
    let expression = expression.trim();
    match expression
        .strip_prefix('(')
        .and_then(|x| x.strip_suffix(')'))
    {
        Some(inner) => is_allowed(inner, allowed),
        None => allowed.contains(expression),
    }
}

fn outside_brackets<'a>(expression: &'a str, operator: &str) -> Vec<&'a str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    for (at, _) in expression.match_indices(operator) {
        let before = &expression[..at];
        if before.matches('(').count() == before.matches(')').count() {
            parts.push(&expression[start..at]);
            start = at + operator.len();
        }
    }
    parts.push(&expression[start..]);
    parts
}

/// The texts in the list `allow` of deny.toml.
fn allowed() -> BTreeSet<String> {
    let rules = read("deny.toml");
    let (_, list) = rules.split_once("\nallow = [").unwrap();
    let (list, _) = list.split_once("\n]").unwrap();
    let lines = list.lines().map(str::trim);
    lines
        .filter_map(|line| line.strip_prefix('"')?.strip_suffix("\","))
        .map(str::to_owned)
        .collect()
}

/// As it is resolved for this system, which is what was fetched to build.
fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let told = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{complaint}");
    serde_json::from_slice(&told.stdout).unwrap()
}

fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    let ids: Vec<&Value> = list(&metadata["workspace_members"]).collect();
    list(&metadata["packages"]).filter(move |package| ids.contains(&&package["id"]))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn read(name: &str) -> String {
    let file = root().join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|err| panic!("{}: {err}", file.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}
