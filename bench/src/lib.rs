//! Measurements, printed beside the budgets of the design. Each is a program: `just bench boot`, `just bench size`,
//! `just bench store`, `just bench apiserver`.

pub mod apiserver;
pub mod outcome;
pub mod process;
pub mod store;

use std::fmt;

/// A table of figures: a name, a value, and what it is to be held against.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<[String; 3]>,
}

impl Table {
    /// Adds a row.
    pub fn row(&mut self, name: impl Into<String>, value: impl Into<String>, beside: impl Into<String>) -> &mut Self {
        self.rows.push([name.into(), value.into(), beside.into()]);
        self
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (names, values) = (width(0), width(1));
        for [name, value, beside] in &self.rows {
            let line = format!("  {name:names$}  {value:>values$}  {beside}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A size against its budget, in the same unit.
pub fn verdict(bytes: u64, budget: u64) -> String {
    let budget_text = megabytes(budget);
    if bytes <= budget { format!("within {budget_text}") } else { format!("OVER {budget_text}") }
}

/// A size in megabytes, as the budgets count them.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::default();
        table.row("a", "1.0 s", "").row("longer", "10.0 s", "2.0×");
        assert_eq!(table.to_string(), "  a        1.0 s\n  longer  10.0 s  2.0×\n");
    }

    #[test]
    fn a_budget_is_kept_up_to_its_last_byte() {
        assert_eq!(verdict(40_000_000, 40_000_000), "within 40.0 MB");
        assert_eq!(verdict(40_000_001, 40_000_000), "OVER 40.0 MB");
    }
}
