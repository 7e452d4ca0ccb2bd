//! Signed tokens of clients.

#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use store::access::jwt::{Jwt, Method};
use store::access::options::JwtOptions;

static JWT: LazyLock<Jwt> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("fuzz-tokens-{}", std::process::id()));
    std::fs::write(&path, "a secret that nobody knows").expect("write the key");
    let options = JwtOptions {
        method: Method::Hs256,
        public_key: None,
        private_key: Some(path.clone()),
        ttl: Duration::from_secs(60),
    };
    let jwt = Jwt::open(&options).expect("the key is good");
    std::fs::remove_file(path).expect("remove the key");
    jwt
});

fuzz_target!(|token: &str| {
    assert!(JWT.verify(token, SystemTime::UNIX_EPOCH).is_none(), "nobody signed it");
});
