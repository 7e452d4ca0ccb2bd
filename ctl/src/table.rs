//! Aligned columns, as kubectl prints them.

use std::io::{self, Write};

/// Space between two columns.
const GAP: usize = 3;

/// Prints a heading and rows; each column is as wide as its widest cell.
pub(crate) fn print(mut out: impl Write, heading: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let heading: Vec<String> = heading.iter().map(ToString::to_string).collect();
    let mut widths = vec![0; heading.len()];
    for row in std::iter::once(&heading).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in std::iter::once(&heading).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width + GAP - cell.chars().count()));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// One row of a table whose columns have these widths; the last one is as wide as it is.
pub(crate) fn row(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (place, cell) in cells.iter().enumerate() {
        line.push_str(cell);
        let width = widths.get(place).copied().unwrap_or(0);
        line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + GAP));
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut out = Vec::new();
        let rows = vec![vec!["store".into(), "ready".into()], vec!["kube-apiserver".into(), "é".into()]];
        print(&mut out, &["NAME", "STATE"], &rows).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME             STATE\nstore            ready\nkube-apiserver   é\n"
        );
    }
}
