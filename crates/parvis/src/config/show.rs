// SPDX-License-Identifier: EUPL-1.2
//! Prints the configuration in force, and where each value comes from.

use std::collections::BTreeMap;

use super::Loaded;

/// What stands in the place of a secret.
const MASKED: &str = "\"…\"";

/// One line for each value; secrets are left out. With origins, what was said and has no effect stands behind them.
pub(crate) fn show(loaded: &Loaded, with_origin: bool) -> Result<String, toml::ser::Error> {
    let value = toml::Value::try_from(&loaded.config)?;
    let mut lines = Vec::new();
    flatten(&value, "", &mut |key, value| {
        let mut line = format!("{key} = {}", masked(key, value));
        if with_origin {
            let origin = loaded.origin(key).unwrap_or("default");
            line = format!("{line:<60} # {origin}");
        }
        lines.push(line);
    });
    if with_origin {
        lines.extend(loaded.notes.iter().map(|note| format!("# {}: {note}", note.weight)));
    }
    Ok(lines.join("\n"))
}

/// Each key with its value as it is, for comparing: secrets too.
pub(crate) fn values(loaded: &Loaded) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    if let Ok(value) = toml::Value::try_from(&loaded.config) {
        flatten(&value, "", &mut |key, value| {
            values.insert(key.to_owned(), value.to_string());
        });
    }
    values
}

fn flatten(value: &toml::Value, prefix: &str, found: &mut impl FnMut(&str, &toml::Value)) {
    let toml::Value::Table(table) = value else { return };
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            toml::Value::Table(_) => flatten(value, &format!("{key}."), found),
            value => found(&key, value),
        }
    }
}

/// A value as anyone may see it: of keys their names, of secrets nothing, of URLs not who signs in.
fn masked(key: &str, value: &toml::Value) -> String {
    let last = key.rsplit('.').next().unwrap_or(key);
    match value {
        toml::Value::Array(keys) if key == "keys" => {
            let name = |key: &toml::Value| key.get("name").cloned();
            toml::Value::Array(keys.iter().filter_map(name).collect()).to_string()
        }
        toml::Value::String(text) if is_secret(last) && !text.is_empty() => MASKED.to_owned(),
        toml::Value::String(text) => toml::Value::String(without_login(text)).to_string(),
        value => value.to_string(),
    }
}

/// Whether a key's name says that it holds a secret itself, not the file that holds it.
fn is_secret(name: &str) -> bool {
    ["secret", "password", "credential", "eab_hmac"].iter().any(|word| name.ends_with(word))
}

fn without_login(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://…{}", &rest[at..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_by_the_name_of_their_key_and_in_urls() {
        let text = |text: &str| toml::Value::String(text.to_owned());
        assert_eq!(masked("turn.secret", &text("hush")), MASKED);
        assert_eq!(masked("turn.secret", &text("")), "\"\"");
        assert_eq!(masked("turn.secret_file", &text("turn.secret")), "\"turn.secret\"");
        let url = text("postgres://parvis:hush@db.example/parvis?x=@");
        assert_eq!(masked("database.url", &url), "\"postgres://…@db.example/parvis?x=@\"");
        assert_eq!(masked("http.listen", &text("127.0.0.1:1")), "\"127.0.0.1:1\"");
    }
}
