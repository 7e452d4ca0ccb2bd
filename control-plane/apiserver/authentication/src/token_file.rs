//! Tokens in a file: each line a token, the name and the uid of its user and, perhaps, their groups.

use apiserver_core::user::User;
use subtle::ConstantTimeEq as _;

/// The tokens of a file.
#[derive(Clone, Default)]
pub struct TokenFile(Vec<(String, User)>);

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadFile {
    /// It is no comma separated text.
    Unreadable(String),
    /// A line says too little; its number, and how many columns it has.
    TooShort(usize, usize),
}

impl std::fmt::Display for BadFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(why) => f.write_str(why),
            Self::TooShort(line, columns) => {
                write!(f, "line {line}: must have at least 3 columns (token, user name, user uid), found {columns}")
            }
        }
    }
}

impl std::error::Error for BadFile {}

impl TokenFile {
    /// Reads a file. A line without a token is passed over, and of two lines with one token the last counts.
    ///
    /// # Errors
    ///
    /// When a line cannot be read.
    pub fn read(text: &[u8]) -> Result<Self, BadFile> {
        let mut lines = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
        let mut tokens: Vec<(String, User)> = Vec::new();
        for (index, line) in lines.records().enumerate() {
            let line = line.map_err(|error| BadFile::Unreadable(error.to_string()))?;
            if line.len() < 3 {
                return Err(BadFile::TooShort(index + 1, line.len()));
            }
            if line[0].is_empty() {
                continue;
            }
            let groups = line.get(3).filter(|groups| !groups.is_empty());
            let groups = groups.map_or_else(Vec::new, |groups| groups.split(',').map(str::to_owned).collect());
            let user = User { name: line[1].to_owned(), uid: line[2].to_owned(), groups, ..User::default() };
            tokens.retain(|(token, _)| *token != line[0]);
            tokens.push((line[0].to_owned(), user));
        }
        Ok(Self(tokens))
    }

    /// Whose a token is. How long that takes tells nothing of the tokens but how many there are.
    pub fn user(&self, token: &str) -> Option<&User> {
        let mut found = None;
        for (known, user) in &self.0 {
            if bool::from(known.as_bytes().ct_eq(token.as_bytes())) {
                found = Some(user);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_upstream_does() {
        let text = b"secret,ann,1,\"dev,ops\"\nother,bob,2\n,nobody,3\nsecret,eve,4,dev\n";
        let file = TokenFile::read(text).expect("a file");
        let eve = file.user("secret").expect("a user");
        assert_eq!(
            (eve.name.as_str(), eve.uid.as_str(), eve.groups.as_slice()),
            ("eve", "4", ["dev".to_owned()].as_slice())
        );
        assert_eq!(file.user("other").map(|user| user.groups.len()), Some(0));
        for nobody in ["", "secre", "secrets", "SECRET"] {
            assert!(file.user(nobody).is_none(), "{nobody}");
        }
        assert_eq!(TokenFile::read(b"a,b\n").err(), Some(BadFile::TooShort(1, 2)));
        assert!(TokenFile::read(b"\xff\xfe,b,c\n").is_err());
    }
}
