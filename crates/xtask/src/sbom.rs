// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask sbom`: what is in each program, as CycloneDX 1.5 (ECMA-424), and what known advisories mean for it (VEX). The crates
//! are those that `Cargo.lock` pins and that the program links on its system, with their licences and checksums; the web client's packages
//! come from npm's own list. Two runs give the same bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use crate::sh::{Error, Result, process, root, say, target};

/// What is described: a package, and the file.
const PROGRAMS: [(&str, &str); 2] =
    [("parvis", "parvis.cdx.json"), ("parvis-media", "parvis-media.cdx.json")];
const CLIENT: &str = "crates/web/client";
/// Where dependencies are resolved for.
const SYSTEM: &str = "x86_64-unknown-linux-gnu";

/// Writes all of them below `target/sbom`.
pub(crate) fn run() -> Result {
    let place = target().join("sbom");
    std::fs::create_dir_all(&place)?;
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", SYSTEM];
    let metadata = process("cargo", arguments).output().ok_or_else(|| Error::new("cargo lists no crates"))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
    let graph = Graph::new(&metadata, &lock)?;
    for (program, file) in PROGRAMS {
        let list = graph.describe(program)?;
        say(&format!("{program}: {} components", list["components"].as_array().map_or(0, Vec::len)));
        std::fs::write(place.join(file), serde_json::to_string_pretty(&list)? + "\n")?;
    }
    let arguments = [
        "sbom",
        "--sbom-format",
        "cyclonedx",
        "--sbom-type",
        "application",
        "--omit",
        "dev",
        "--package-lock-only",
    ];
    let client = process("npm", arguments).within(root().join(CLIENT)).output();
    let client = client.ok_or_else(|| Error::new("npm lists no packages"))?;
    std::fs::write(place.join("client.cdx.json"), steady(&client)?)?;
    let rules = std::fs::read_to_string(root().join("deny.toml"))?;
    std::fs::write(place.join("vex.cdx.json"), serde_json::to_string_pretty(&vex(&rules)?)? + "\n")?;
    say(&format!("written below {}", place.display()));
    Ok(())
}

/// Takes out of npm's list what differs from run to run.
fn steady(list: &str) -> Result<String> {
    let mut list: Value = serde_json::from_str(list)?;
    if let Some(list) = list.as_object_mut() {
        list.remove("serialNumber");
        if let Some(metadata) = list.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("timestamp");
        }
    }
    Ok(serde_json::to_string_pretty(&list)? + "\n")
}

/// One crate of the build.
struct Package {
    name: String,
    version: String,
    licence: Option<String>,
    source: Option<String>,
    /// SHA-256 of the archive that it was made from; our own have none.
    checksum: Option<String>,
    /// Ids of what it links, and of what its macros and build scripts do.
    uses: Vec<String>,
}

impl Package {
    fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }

    fn component(&self) -> Value {
        let mut component = json!({
            "type": "library", "bom-ref": self.purl(), "name": self.name, "version": self.version, "purl": self.purl(),
            "scope": "required",
        });
        if let Some(licence) = &self.licence {
            // Older crates write a slash where SPDX writes OR.
            component["licenses"] = json!([{"expression": licence.replace('/', " OR ")}]);
        }
        if let Some(checksum) = &self.checksum {
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        if let Some(source) = &self.source {
            component["externalReferences"] = json!([{"type": "vcs", "url": source}]);
        }
        component
    }
}

struct Graph(BTreeMap<String, Package>);

impl Graph {
    fn new(metadata: &Value, lock: &str) -> Result<Graph> {
        let checksums = checksums(lock);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let missing = || Error::new("cargo's list is not of the form that is known");
        let mut packages = BTreeMap::new();
        for package in metadata["packages"].as_array().ok_or_else(missing)? {
            let id = text(&package["id"]).ok_or_else(missing)?;
            let name = text(&package["name"]).ok_or_else(missing)?;
            let version = text(&package["version"]).ok_or_else(missing)?;
            let checksum = checksums.get(&(name.clone(), version.clone())).cloned();
            let (licence, source) = (text(&package["license"]), text(&package["repository"]));
            packages.insert(id, Package { name, version, licence, source, checksum, uses: Vec::new() });
        }
        for node in metadata["resolve"]["nodes"].as_array().ok_or_else(missing)? {
            let Some(package) = node["id"].as_str().and_then(|id| packages.get_mut(id)) else { continue };
            for used in node["deps"].as_array().ok_or_else(missing)? {
                // What only tests use is in no program.
                let kinds = used["dep_kinds"].as_array().ok_or_else(missing)?;
                if kinds.iter().any(|kind| kind["kind"].as_str() != Some("dev")) {
                    package.uses.extend(text(&used["pkg"]));
                }
            }
        }
        Ok(Graph(packages))
    }

    /// The list of a program: itself, and all that it uses, each once, in order.
    fn describe(&self, program: &str) -> Result<Value> {
        let (start, main) = self
            .0
            .iter()
            .find(|(_, package)| package.name == program && package.checksum.is_none())
            .ok_or_else(|| Error::new(format!("there is no crate {program}")))?;
        let mut found = BTreeSet::from([start]);
        let mut queue = VecDeque::from([start]);
        while let Some(id) = queue.pop_front() {
            for used in &self.0[id].uses {
                if let Some((used, _)) = self.0.get_key_value(used)
                    && found.insert(used)
                {
                    queue.push_back(used);
                }
            }
        }
        let mut packages: Vec<&Package> = found.iter().map(|id| &self.0[*id]).collect();
        packages.sort_by_key(|package| package.purl());
        let depends = |package: &Package| {
            let used: BTreeSet<String> =
                package.uses.iter().filter_map(|id| self.0.get(id)).map(Package::purl).collect();
            json!({"ref": package.purl(), "dependsOn": used})
        };
        let mut itself = main.component();
        itself["type"] = json!("application");
        let others = packages.iter().filter(|package| package.purl() != main.purl());
        Ok(json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {"component": itself, "lifecycles": [{"phase": "build"}]},
            "components": others.map(|package| package.component()).collect::<Vec<_>>(),
            "dependencies": packages.iter().map(|package| depends(package)).collect::<Vec<_>>(),
        }))
    }
}

/// Checksums of archives, by name and version, from a lock file.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let quoted = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
        Some(line.trim_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").skip(1);
    blocks
        .filter_map(|block| {
            Some(((quoted(block, "name")?, quoted(block, "version")?), quoted(block, "checksum")?))
        })
        .collect()
}

/// What is said of advisories: those that `deny.toml` lets pass, each with its reason. Every other one fails the build, so that
/// an empty list says that none is known.
fn vex(rules: &str) -> Result<Value> {
    let rules: toml::Table = rules.parse()?;
    let ignored = rules["advisories"].get("ignore").and_then(toml::Value::as_array);
    let mut said = Vec::new();
    for entry in ignored.into_iter().flatten() {
        let id = entry.get("id").and_then(toml::Value::as_str);
        let reason = entry.get("reason").and_then(toml::Value::as_str);
        let (Some(id), Some(reason)) = (id, reason) else {
            return Err(Error::new(format!("deny.toml lets {entry} pass without a reason")));
        };
        said.push(json!({
            "id": id,
            "source": {"name": "RustSec"},
            "analysis": {"state": "not_affected", "justification": "code_not_reachable", "detail": reason},
        }));
    }
    Ok(json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "vulnerabilities": said}))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"00ff\"\n\n\
        [[package]]\nname = \"program\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n";

    fn metadata() -> Value {
        let node = |id: &str, uses: &[(&str, Option<&str>)]| {
            let deps = uses.iter().map(|(id, kind)| json!({"pkg": id, "dep_kinds": [{"kind": kind}]}));
            json!({"id": id, "deps": deps.collect::<Vec<_>>()})
        };
        let package = |id: &str, version: &str, licence: &str| json!({"id": id, "name": id, "version": version, "license": licence, "repository": null});
        json!({
            "packages": [
                package("program", "0.1.0", "EUPL-1.2"), package("a", "1.0.0", "MIT/Apache-2.0"),
                package("tests", "2.0.0", "MIT"), package("other", "3.0.0", "MIT"),
            ],
            "resolve": {"nodes": [
                node("program", &[("a", None), ("tests", Some("dev"))]), node("a", &[("program", Some("dev"))]),
                node("tests", &[]), node("other", &[]),
            ]},
        })
    }

    #[test]
    fn a_list_has_what_a_program_links_and_nothing_else() {
        let list = Graph::new(&metadata(), LOCK).unwrap().describe("program").unwrap();
        let components = list["components"].as_array().unwrap();
        assert_eq!(components.len(), 1, "neither what tests use nor what others do: {components:?}");
        assert_eq!(components[0]["purl"], "pkg:cargo/a@1.0.0");
        assert_eq!(components[0]["hashes"][0]["content"], "00ff");
        assert_eq!(components[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(list["metadata"]["component"]["name"], "program");
        let depends = &list["dependencies"].as_array().unwrap()[1];
        assert_eq!(depends, &json!({"ref": "pkg:cargo/program@0.1.0", "dependsOn": ["pkg:cargo/a@1.0.0"]}));
        assert!(Graph::new(&metadata(), LOCK).unwrap().describe("nobody").is_err());
    }

    #[test]
    fn an_advisory_that_passes_has_a_reason() {
        let said =
            vex("[advisories]\nignore = [{ id = \"RUSTSEC-2020-0001\", reason = \"never called\" }]\n")
                .unwrap();
        assert_eq!(said["vulnerabilities"][0]["analysis"]["detail"], "never called");
        assert!(vex("[advisories]\nignore = [\"RUSTSEC-2020-0001\"]\n").is_err());
        assert_eq!(vex("[advisories]\nignore = []\n").unwrap()["vulnerabilities"], json!([]));
    }

    #[test]
    fn npms_list_is_the_same_each_time() {
        let list =
            r#"{"serialNumber":"urn:uuid:1","metadata":{"timestamp":"now","tools":[]},"components":[]}"#;
        let steady = steady(list).unwrap();
        assert!(!steady.contains("urn:uuid") && !steady.contains("now") && steady.contains("components"));
    }
}
