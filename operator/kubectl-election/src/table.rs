//! Tables as kubectl prints them.

use elector_crds::display_text::{MAX_MESSAGE, shown};

use crate::style::{Style, Tone};

/// The text of a cell without a value: a missing cell would shift the others.
const NONE: &str = "<none>";

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

/// A table: headings, and rows with as many cells each.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Cell {
    pub(crate) fn plain(text: impl ToString) -> Cell {
        Cell::toned(text, Tone::Plain)
    }

    /// A cell with a text fit to be shown, whose length decides the width of its column.
    pub(crate) fn toned(text: impl ToString, tone: Tone) -> Cell {
        Cell { text: shown(&text.to_string(), MAX_MESSAGE).into_owned(), tone }
    }

    /// A cell that is blank without a value, as in `kubectl get`.
    pub(crate) fn or_blank(text: Option<impl ToString>) -> Cell {
        text.map_or_else(|| Cell::plain(""), Cell::plain)
    }

    pub(crate) fn maybe(text: Option<impl ToString>) -> Cell {
        text.map_or_else(|| Cell::plain(NONE), Cell::plain)
    }

    /// A cell for a state: red if a person should look.
    pub(crate) fn state(state: Option<&str>, well: &str) -> Cell {
        let tone = if state == Some(well) { Tone::Good } else { Tone::Bad };
        Cell { tone, ..Cell::or_blank(state) }
    }

    /// A cell for the status of a condition: red unless it is True.
    pub(crate) fn truth(status: Option<&str>) -> Cell {
        let tone = if status == Some("True") { Tone::Good } else { Tone::Bad };
        Cell { tone, ..Cell::maybe(status) }
    }
}

impl Table {
    pub(crate) fn new(headings: &[&'static str]) -> Table {
        Table { headings: headings.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table as text: one line for each row, after `indent`.
    pub(crate) fn render(&self, paint: Style, indent: &str) -> String {
        let headings =
            self.headings.iter().map(|text| Cell { text: (*text).to_owned(), tone: Tone::Heading }).collect();
        let rows: Vec<&Vec<Cell>> = std::iter::once(&headings).chain(&self.rows).collect();
        let length = |cell: &Cell| cell.text.chars().count();
        let longest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(length).max();
        let widths: Vec<usize> = (0..headings.len()).map(|column| longest(column).unwrap_or_default()).collect();
        let mut lines = String::new();
        for row in rows {
            lines += indent;
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                lines += &paint.paint(&cell.text, cell.tone);
                if column + 1 < row.len() {
                    // Those of kubectl are six wide at least.
                    let gap = (width + 3).max(6) - length(cell);
                    lines.extend(std::iter::repeat_n(' ', gap));
                }
            }
            lines.push('\n');
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "N", "READY"]);
        table.row(vec![Cell::plain("billing"), Cell::plain(3), Cell::truth(Some("True"))]);
        table.row(vec![Cell::plain("b"), Cell::maybe(None::<&str>), Cell::truth(None)]);
        table
    }

    #[test]
    fn columns_are_three_spaces_apart_and_the_last_has_none_behind() {
        let lines = table().render(Style::new(false), "  ");
        assert_eq!(lines, "  NAME      N        READY\n  billing   3        True\n  b         <none>   <none>\n");
    }

    #[test]
    fn what_is_hidden_takes_the_room_of_its_name() {
        let mut table = Table::new(&["HOLDER", "N"]);
        table.row(vec![Cell::plain("a\u{202e}\n"), Cell::plain(1)]);
        table.row(vec![Cell::plain("billing-7d9-x"), Cell::plain(2)]);
        let lines = table.render(Style::new(false), "");
        assert_eq!(lines, "HOLDER          N\na\\u{202e}\\n     1\nbilling-7d9-x   2\n");
    }

    #[test]
    fn colours_take_no_room() {
        let lines = table().render(Style::new(true), "");
        assert!(lines.contains("billing   3        \x1b[32mTrue\x1b[0m\n"), "{lines:?}");
        assert!(lines.contains("b         <none>   \x1b[31m<none>\x1b[0m\n"), "{lines:?}");
    }
}
