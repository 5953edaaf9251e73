//! Properties of the element, by name and value, as `--set` and query strings bring them.

use std::str::FromStr;

use gst::glib;
use gst::prelude::*;

/// Which properties only who runs the program may set: they reach the machine's files, its memory or other calls.
const OPERATORS: [&str; 8] = [
    "model",
    "device",
    "precision",
    "cif-model",
    "dump-dir",
    "max-streams",
    "alignment-heads",
    "resume",
];

/// Properties that make no sense behind a door, because the door relies on them.
const DOORS: [&str; 6] = ["name", "parent", "leg", "qos", "lateness", "latency"];

/// `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub name: String,
    pub value: String,
}

/// Why a setting is refused, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSetting {
    #[error("{0:?} is no setting: write name=value, as in language=fr")]
    Form(String),
    #[error("{element} has no property {name}; it has {known}")]
    Unknown {
        element: String,
        name: String,
        known: String,
    },
    #[error("{name} cannot be {value:?}: it takes {takes}")]
    Value {
        name: String,
        value: String,
        takes: String,
    },
    #[error("{0:?} has a zero character in its name or value, which no property takes")]
    Zero(String),
    #[error("{0} can only be set by who runs the server")]
    Operators(String),
}

impl Setting {
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Setting {
        Setting {
            name: name.into(),
            value: value.into(),
        }
    }

    /// Sets it on an element, if there is such a property and the value is one of its type.
    pub fn apply(&self, element: &gst::Element) -> Result<(), BadSetting> {
        // The strings of GLib end there, and its bindings panic.
        if self.name.contains('\0') || self.value.contains('\0') {
            return Err(BadSetting::Zero(self.name.clone()));
        }
        let found = || element.find_property(&self.name).filter(is_writable);
        let property = is_name(&self.name).then(found).flatten();
        let Some(property) = property else {
            let mut known: Vec<_> = element
                .list_properties()
                .iter()
                .filter(|property| is_writable(property))
                .map(|property| property.name().to_owned())
                .filter(|name| !DOORS.contains(&name.as_str()))
                .collect();
            known.sort();
            let element = element.factory().map(|factory| factory.name().to_string());
            return Err(BadSetting::Unknown {
                element: element.unwrap_or_default(),
                name: self.name.clone(),
                known: known.join(", "),
            });
        };
        let wrong = || BadSetting::Value {
            name: self.name.clone(),
            value: self.value.clone(),
            takes: takes(&property),
        };
        // GStreamer's own reading of strings would take quotes and escapes out of a text.
        let value = match property.value_type() {
            glib::Type::STRING => self.value.to_value(),
            _ => {
                glib::Value::deserialize_with_pspec(&self.value, &property).map_err(|_| wrong())?
            }
        };
        if property.value_is_valid(&value) {
            element.set_property_from_value(&self.name, &value);
            Ok(())
        } else {
            Err(wrong())
        }
    }
}

impl FromStr for Setting {
    type Err = BadSetting;

    fn from_str(text: &str) -> Result<Setting, BadSetting> {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok(Setting::new(name.trim().replace('_', "-"), value))
            }
            _ => Err(BadSetting::Form(text.into())),
        }
    }
}

/// Whether there is such a property to be set.
pub fn is_setting(name: &str) -> bool {
    if !is_name(name) {
        return false;
    }
    let element = gst::ElementFactory::find("whisperstream").and_then(|it| it.load().ok());
    let class = element.and_then(|it| glib::object::ObjectClass::from_type(it.element_type()));
    class
        .and_then(|class| class.find_property(name))
        .is_some_and(|property| is_writable(&property))
}

/// Whether a client, a stranger, may bring it.
pub fn check_client(setting: &Setting) -> Result<(), BadSetting> {
    if OPERATORS.contains(&setting.name.as_str()) {
        return Err(BadSetting::Operators(setting.name.clone()));
    }
    Ok(())
}

/// Whether it is written as properties are. GObject finds them by other names, too (`Type::model`, `dump_dir`), and whoever
/// is refused `model` must not come in by one of these.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(fits)
}

fn is_writable(property: &glib::ParamSpec) -> bool {
    property.flags().contains(glib::ParamFlags::WRITABLE)
}

fn takes(property: &glib::ParamSpec) -> String {
    let class = property
        .value_type()
        .is_a(glib::Type::ENUM)
        .then(|| glib::EnumClass::with_type(property.value_type()))
        .flatten();
    match class {
        Some(class) => {
            let values = class.values().iter();
            values
                .map(|value| value.nick().to_owned())
                .collect::<Vec<_>>()
                .join(", ")
        }
        None => match property.value_type() {
            glib::Type::BOOL => "true or false".into(),
            glib::Type::F32 | glib::Type::F64 => "a number".into(),
            glib::Type::STRING => "text".into(),
            _ => "a whole number".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As an address brings it: `?init_prompt=a%00b`.
    #[test]
    fn a_zero_character_is_refused_in_a_sentence() {
        crate::init().unwrap();
        let element = crate::call::make("whisperstream").unwrap();
        for (name, value) in [
            ("init-prompt", "a\0b"),
            ("leg", "\0"),
            ("min-chunk-size", "5\0"),
            ("langu\0age", "fr"),
        ] {
            let refused = Setting::new(name, value).apply(&element);
            assert_eq!(refused, Err(BadSetting::Zero(name.into())));
        }
        assert!(!is_setting("langu\0age") && is_setting("language"));
    }
}
