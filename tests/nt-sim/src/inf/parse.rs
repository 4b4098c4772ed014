//! The syntax of INF files: sections, entries, fields, strings.
//!
//! - A `;` outside quotes starts a comment; a `\` at the end of a line joins the next one to it.
//! - `[name]` opens a section; sections of the same name are one, and case does not matter.
//! - An entry is `key = field, field …`, or bare fields where the first `,` comes before any `=`.
//! - `"…"` keeps what it encloses, `""` in it is one quote.
//! - `%key%` stands for an entry of the `[Strings]` section, also inside quotes; `%%` is one
//!   percent sign; a directory number (`%13%`) stays as it is for the directive that reads it.

use std::collections::HashMap;

use super::InfError;

/// The longest section name that Windows takes.
const SECTION_NAME_MAX: usize = 255;

/// The text of an INF file, taken apart.
#[derive(Clone, Debug, Default)]
pub struct Inf {
    sections: Vec<Section>,
}

/// All entries of the sections of one name.
#[derive(Clone, Debug)]
pub struct Section {
    /// The name as it was first written.
    pub name: String,
    /// Where the section begins for the first time.
    pub line: u32,
    /// Its entries in order.
    pub entries: Vec<Entry>,
}

/// One line of a section, continuations included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the entry begins.
    pub line: u32,
    /// What stands before the `=`, if there is one.
    pub key: Option<String>,
    /// The values; an empty field between two commas is an empty string.
    pub fields: Vec<String>,
}

impl Entry {
    /// Tells whether the entry has this key, case ignored.
    #[must_use]
    pub fn is(&self, key: &str) -> bool {
        self.key.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(key))
    }

    /// Returns a field; one that is not there is empty, as for Windows.
    #[must_use]
    pub fn field(&self, index: usize) -> &str {
        self.fields.get(index).map_or("", String::as_str)
    }
}

impl Section {
    /// Returns the first entry with this key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.is(key))
    }
}

impl Inf {
    /// Takes a text apart and puts in the strings.
    ///
    /// # Errors
    ///
    /// Returns the first fault: text before any section, a broken section header, an open quote, a
    /// control character, or a string that the `[Strings]` section does not define.
    pub fn parse(text: &str) -> Result<Self, InfError> {
        let mut inf = Self::default();
        let mut current = None;
        for (line, logical) in logical_lines(text) {
            if let Some(control) = logical.chars().find(|c| c.is_control() && *c != '\t') {
                return Err(InfError::at(
                    line,
                    format!("control character U+{:04X}", u32::from(control)),
                ));
            }
            let trimmed = strip_comment(&logical, line)?.trim();
            if trimmed.is_empty() {
                continue;
            }
            if trimmed.starts_with('[') {
                current = Some(inf.open_section(trimmed, line)?);
                continue;
            }
            let Some(section) = current else {
                return Err(InfError::at(line, "an entry before the first [section]"));
            };
            let entry = parse_entry(trimmed, line)?;
            if let Some(section) = inf.sections.get_mut::<usize>(section) {
                section.entries.push(entry);
            }
        }
        inf.substitute()?;
        Ok(inf)
    }

    /// Returns a section by name, case ignored.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| section.name.eq_ignore_ascii_case(name))
    }

    /// Returns all sections in the order of their first appearance.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    fn open_section(&mut self, header: &str, line: u32) -> Result<usize, InfError> {
        let name = header
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .map(str::trim)
            .ok_or_else(|| InfError::at(line, "a section header that does not end with ]"))?;
        if name.is_empty() || name.contains(['[', ']', '"']) {
            return Err(InfError::at(line, "a section header without a proper name"));
        }
        if name.chars().count() > SECTION_NAME_MAX {
            return Err(InfError::at(line, "a section name of more than 255 characters"));
        }
        let known = self
            .sections
            .iter()
            .position(|old| old.name.eq_ignore_ascii_case(name));
        Ok(known.unwrap_or_else(|| {
            self.sections.push(Section {
                name: name.to_owned(),
                line,
                entries: Vec::new(),
            });
            self.sections.len() - 1
        }))
    }

    fn substitute(&mut self) -> Result<(), InfError> {
        let mut strings = HashMap::new();
        if let Some(section) = self.section("Strings") {
            for entry in &section.entries {
                let Some(key) = &entry.key else {
                    return Err(InfError::at(entry.line, "a string without a name"));
                };
                // Unquoted commas are no fault of a string: it is the rest of the line.
                let text = entry.fields.join(",");
                if strings.insert(key.to_ascii_lowercase(), text).is_some() {
                    return Err(InfError::at(entry.line, format!("string %{key}% is there twice")));
                }
            }
        }
        for section in &mut self.sections {
            if section.name.eq_ignore_ascii_case("Strings") {
                continue;
            }
            for entry in &mut section.entries {
                let line = entry.line;
                if let Some(key) = &mut entry.key {
                    *key = expand(key, &strings, line)?;
                }
                for field in &mut entry.fields {
                    *field = expand(field, &strings, line)?;
                }
            }
        }
        Ok(())
    }
}

/// Joins lines that end with a backslash and numbers what results by its first line.
fn logical_lines(text: &str) -> Vec<(u32, String)> {
    let mut lines: Vec<(u32, String)> = Vec::new();
    let mut open = false;
    for (number, raw) in (1_u32..).zip(text.trim_start_matches('\u{FEFF}').split('\n')) {
        let raw = raw.strip_suffix('\r').unwrap_or(raw);
        // A comment ends with its line: a backslash in it joins nothing.
        let content = comment_start(raw).map_or(raw, |at| raw.get(..at).unwrap_or(raw));
        let (content, continues) = match content.trim_end().strip_suffix('\\') {
            // A backslash inside quotes, or right before the end of a path, is text.
            Some(before) if !inside_quotes(before) && !before.ends_with(['\\', '%']) => (before, true),
            _ => (content, false),
        };
        match lines.last_mut() {
            Some((_, last)) if open => last.push_str(content),
            _ => lines.push((number, content.to_owned())),
        }
        open = continues;
    }
    lines
}

fn inside_quotes(text: &str) -> bool {
    text.bytes().filter(|&byte| byte == b'"').count() % 2 == 1
}

fn comment_start(text: &str) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b';' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

fn strip_comment(text: &str, line: u32) -> Result<&str, InfError> {
    let content = comment_start(text).and_then(|at| text.get(..at)).unwrap_or(text);
    if inside_quotes(content) {
        return Err(InfError::at(line, "a quotation that does not end on its line"));
    }
    Ok(content)
}

fn parse_entry(text: &str, line: u32) -> Result<Entry, InfError> {
    let mut key = None;
    let mut fields = Vec::new();
    let mut field = Field::default();
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.text.push('"');
            }
            '"' => {
                quoted = !quoted;
                field.quoted();
            }
            _ if quoted => field.text.push(c),
            '=' if key.is_none() && fields.is_empty() => key = Some(field.take()),
            ',' => fields.push(field.take()),
            _ => field.text.push(c),
        }
    }
    // `key =` has no value; `key = ""` has an empty one, and so has a trailing comma.
    let written = field.kept.is_some() || !field.text.trim().is_empty();
    if written || !fields.is_empty() || key.is_none() {
        fields.push(field.take());
    }
    if key.as_ref().is_some_and(String::is_empty) {
        return Err(InfError::at(line, "an = without a key before it"));
    }
    Ok(Entry { line, key, fields })
}

/// A field while it is read: blanks around it go, blanks inside quotes stay.
#[derive(Default)]
struct Field {
    text: String,
    /// How much of `text` was quoted and must not be trimmed: start and end.
    kept: Option<(usize, usize)>,
}

impl Field {
    /// Notes that a quotation begins or ends here.
    fn quoted(&mut self) {
        let at = self.text.len();
        let start = self.kept.map_or(at, |(start, _)| start);
        self.kept = Some((start, at));
    }

    fn take(&mut self) -> String {
        let text = core::mem::take(&mut self.text);
        match self.kept.take() {
            None => text.trim().to_owned(),
            Some((start, end)) => {
                let (head, rest) = text.split_at(start);
                let (kept, tail) = rest.split_at(end - start);
                format!("{}{kept}{}", head.trim_start(), tail.trim_end())
            }
        }
    }
}

fn expand(text: &str, strings: &HashMap<String, String>, line: u32) -> Result<String, InfError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let Some((key, tail)) = after.split_once('%') else {
            return Err(InfError::at(
                line,
                "a % without its partner; one percent sign is %%",
            ));
        };
        if key.is_empty() {
            out.push('%');
        } else if key.bytes().all(|byte| byte.is_ascii_digit()) {
            out.push('%');
            out.push_str(key);
            out.push('%');
        } else if let Some(string) = strings.get(&key.to_ascii_lowercase()) {
            out.push_str(string);
        } else {
            return Err(InfError::at(
                line,
                format!("%{key}% is not in the [Strings] section"),
            ));
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}
