// SPDX-License-Identifier: EUPL-1.2
//! A dashboard in Grafana's own form (its JSON model, schema 39): no plugin, and the data source is a variable.

use serde_json::{Value, json};

use super::{Board, Kind, Panel};

/// Grafana divides a dashboard's width by this.
const WIDTH: usize = 24;
/// Width and height of a panel with lines, and of one with a figure.
const LINES: (usize, usize) = (8, 8);
const FIGURE: (usize, usize) = (4, 4);

/// The file's text.
pub(super) fn text(board: &Board) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&dashboard(board)).map(|text| text + "\n")
}

fn dashboard(board: &Board) -> Value {
    let mut panels = Vec::new();
    let mut y = 0;
    for row in board.rows {
        let id = panels.len() + 1;
        panels.push(json!({
            "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
        }));
        y += 1;
        let (mut x, mut tallest) = (0, 0);
        for panel in row.panels {
            let (width, height) = match panel.kind {
                Kind::Lines => LINES,
                Kind::Figure => FIGURE,
            };
            if x + width > WIDTH {
                (x, y, tallest) = (0, y + tallest, 0);
            }
            let id = panels.len() + 1;
            panels.push(one(panel, id, json!({"h": height, "w": width, "x": x, "y": y})));
            x += width;
            tallest = tallest.max(height);
        }
        y += tallest;
    }
    json!({
        "uid": format!("parvis-{}", board.name),
        "title": format!("Parvis: {}", board.title),
        "tags": ["parvis"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timepicker": {},
        "annotations": {"list": []},
        "links": [{
            "type": "dashboards", "title": "Parvis", "tags": ["parvis"], "asDropdown": true, "keepTime": true,
            "includeVars": true,
        }],
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
            {
                "name": "instance", "label": "Server", "type": "query", "datasource": source(),
                "query": {"query": "label_values(parvis_build_info, instance)", "refId": "instance"},
                "definition": "label_values(parvis_build_info, instance)",
                "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*",
                "current": {"text": ["All"], "value": ["$__all"]},
            },
        ]},
        "panels": panels,
    })
}

fn one(panel: &Panel, id: usize, place: Value) -> Value {
    let letters = ('A'..='Z').map(String::from);
    let targets: Vec<Value> = panel
        .queries
        .iter()
        .zip(letters)
        .map(|((expression, legend), letter)| {
            json!({"refId": letter, "datasource": source(), "expr": expression, "legendFormat": legend})
        })
        .collect();
    let (kind, options) = match panel.kind {
        Kind::Lines => (
            "timeseries",
            json!({
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
        ),
        Kind::Figure => (
            "stat",
            json!({
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
                "graphMode": "area", "textMode": "auto", "colorMode": "value",
            }),
        ),
    };
    json!({
        "id": id,
        "type": kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": source(),
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": options,
        "targets": targets,
    })
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}
