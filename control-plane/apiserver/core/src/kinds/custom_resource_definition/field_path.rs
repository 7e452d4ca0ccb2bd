//! Paths from the root of an object to one of its fields, along its schema: `.spec.color`, `.data['a b']`.

use serde_json::Value;

use crate::kinds::tree::{has, member};

/// Follows a path, and returns its steps and the schema it ends at. Names in brackets are only for some.
///
/// # Errors
///
/// What is wrong with the path, in upstream's words.
pub(super) fn resolve<'a>(path: &str, schema: &'a Value, brackets: bool) -> Result<(Vec<String>, &'a Value), String> {
    const END: &str = "unexpected end of JSON path";
    let (mut steps, mut found) = (Vec::new(), schema);
    let tokens = tokens(path);
    let mut tokens = tokens.iter();
    while let Some(token) = tokens.next() {
        let name = match token.as_str() {
            "[" if !brackets => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let quoted = tokens.next().ok_or(END)?;
                let inner = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                let name = inner.ok_or_else(|| format!("expected single quoted string but got {quoted}"))?;
                match tokens.next().map(String::as_str) {
                    Some("]") => name.replace("\\'", "'"),
                    Some(other) => return Err(format!("expected ] but got {other}")),
                    None => return Err(END.to_owned()),
                }
            }
            "." => tokens.next().ok_or(END)?.clone(),
            other => return Err(format!("expected [ or . but got: {other}")),
        };
        found = step(found, &name).ok_or("does not refer to a valid field")?;
        steps.push(name);
    }
    Ok((steps, found))
}

fn step<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    if has(schema, "properties") {
        return member(schema, "properties").get(name);
    }
    Some(member(schema, "additionalProperties")).filter(|values| values.is_object())
}

/// `.`, `[` and `]`, and what is between them. A text in single quotes is one, whatever is in it.
fn tokens(path: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let (mut current, mut quoted, mut escaped) = (String::new(), false, false);
    for c in path.chars() {
        if !quoted && matches!(c, '.' | '[' | ']') {
            tokens.extend(Some(std::mem::take(&mut current)).filter(|token| !token.is_empty()));
            tokens.push(c.to_string());
            continue;
        }
        current.push(c);
        if c == '\'' && !escaped && (quoted || current.len() == 1) {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
    }
    tokens.extend(Some(current).filter(|token| !token.is_empty()));
    tokens
}
