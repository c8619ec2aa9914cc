// SPDX-License-Identifier: EUPL-1.2
//! Prints the configuration in force, and where each value comes from.

use super::Loaded;
use super::stored::without_password;

/// One line for each value; secrets are left out.
pub(crate) fn show(loaded: &Loaded, with_origin: bool) -> Result<String, toml::ser::Error> {
    let value = toml::Value::try_from(&loaded.config)?;
    let mut lines = Vec::new();
    if let toml::Value::Table(table) = value {
        flatten(&table, "", &mut |key, value| {
            let mut line = format!("{key} = {value}");
            if with_origin {
                let origin = loaded.origins.get(key).map_or("default", String::as_str);
                line = format!("{line:<60} # {origin}");
            }
            lines.push(line);
        });
    }
    Ok(lines.join("\n"))
}

fn flatten(table: &toml::Table, prefix: &str, line: &mut impl FnMut(&str, String)) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            toml::Value::Table(inner) => flatten(inner, &format!("{key}."), line),
            toml::Value::Array(keys) if key == "keys" => {
                let name = |key: &toml::Value| key.get("name").cloned();
                let names: Vec<toml::Value> = keys.iter().filter_map(name).collect();
                line(&key, toml::Value::Array(names).to_string());
            }
            toml::Value::String(url) if key == "database.url" => {
                line(&key, toml::Value::String(without_password(url)).to_string());
            }
            value => line(&key, value.to_string()),
        }
    }
}
