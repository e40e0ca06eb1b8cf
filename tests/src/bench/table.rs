//! The figures, as a table or as JSON.

use std::time::Duration;

use comfy_table::{CellAlignment, LineStyle, Table as Drawn, TableStyle};
use serde_json::{Value, json};

/// A line under the header, and nothing else.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// The figures, in the order they were measured.
#[derive(Debug)]
pub(super) struct Table {
    json: bool,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    note: String,
}

impl Table {
    pub(super) fn new(json: bool) -> Self {
        Self { json, rows: Vec::new() }
    }

    pub(super) fn add(
        &mut self,
        what: impl Into<String>,
        (value, unit): (f64, &'static str),
        note: impl Into<String>,
    ) {
        let row = Row { what: what.into(), value, unit, note: note.into() };
        assert!(row.value.is_finite(), "what was not measured is no figure: {row:?}");
        eprintln!("bench:   {:<58} {:>12} {:<10} {}", row.what, shown(row.value), row.unit, row.note);
        self.rows.push(row);
    }

    pub(super) fn print(&self, took: Duration) {
        if self.json {
            let rows: Vec<Value> = self
                .rows
                .iter()
                .map(|r| json!({"what": r.what, "value": r.value, "unit": r.unit, "note": r.note}))
                .collect();
            println!("{}", json!({"seconds": took.as_secs_f64(), "figures": rows}));
            return;
        }
        let mut drawn = Drawn::new();
        drawn.load_style(STYLE).set_header(["what", "figure", "unit", ""]);
        for row in &self.rows {
            drawn.add_row([row.what.clone(), shown(row.value), row.unit.to_owned(), row.note.clone()]);
        }
        if let Some(column) = drawn.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("{drawn}\n{:.0} s in all", took.as_secs_f64());
    }
}

fn shown(value: f64) -> String {
    match value {
        v if v >= 1000.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}
