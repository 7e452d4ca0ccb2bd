//! Tokens of every method, and what is not taken for one.

use std::process::Command;

use super::*;

fn caller() -> Caller {
    Caller { user: "u".to_owned(), revision: 7 }
}

fn moment(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn options(folder: &Path, method: &str, public: Option<&str>, private: Option<&str>) -> JwtOptions {
    JwtOptions {
        method: Method::parse(method).unwrap(),
        public_key: public.map(|name| folder.join(name)),
        private_key: private.map(|name| folder.join(name)),
        ttl: Duration::from_mins(1),
    }
}

#[test]
fn what_is_signed_is_taken_for_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    openssl(folder, "genrsa -out rsa.key 2048");
    openssl(folder, "genrsa -traditional -out old.key 2048");
    openssl(folder, "ecparam -name prime256v1 -genkey -noout -out p256.key");
    openssl(folder, "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.key");
    openssl(folder, "genpkey -algorithm ed25519 -out ed.key");
    std::fs::write(folder.join("secret.key"), "a secret").unwrap();
    for (method, key) in [
        ("HS256", "secret"),
        ("HS512", "secret"),
        ("RS256", "rsa"),
        ("RS512", "old"),
        ("PS384", "rsa"),
        ("ES256", "p256"),
        ("ES384", "p384"),
        ("EdDSA", "ed"),
    ] {
        let private = format!("{key}.key");
        let public = if key == "secret" { private.clone() } else { format!("{key}.pub") };
        if key != "secret" {
            openssl(folder, &format!("pkey -in {private} -pubout -out {public}"));
        }
        let both = Jwt::open(&options(folder, method, Some(&public), Some(&private))).unwrap();
        let token = both.sign(&caller(), moment(1000)).unwrap();
        assert_eq!(both.verify(&token, moment(1059)), Some(caller()), "{method}");
        assert_eq!(both.verify(&token, moment(1060)), None, "{method}: its time is over");
        let checking = Jwt::open(&options(folder, method, Some(&public), None)).unwrap();
        assert_eq!(checking.verify(&token, moment(1059)), Some(caller()), "{method}");
        if key != "secret" {
            assert_eq!(checking.sign(&caller(), moment(0)), Err(NotSigned::VerifyOnly));
        }
        let mut forged = token.clone().into_bytes();
        let middle = token.find('.').unwrap() + 3;
        forged[middle] = if forged[middle] == b'a' { b'b' } else { b'a' };
        assert_eq!(both.verify(std::str::from_utf8(&forged).unwrap(), moment(1000)), None, "{method}: forged");
    }
    openssl(folder, "pkey -in old.key -pubout -out other.pub");
    assert!(Jwt::open(&options(folder, "RS256", Some("other.pub"), Some("rsa.key"))).is_err(), "not its public key");
    assert!(Jwt::open(&options(folder, "ES256", None, Some("rsa.key"))).is_err(), "not a key for the method");
    assert!(Jwt::open(&options(folder, "RS256", None, Some("gone.key"))).is_err(), "no file");
}

#[test]
fn a_token_cannot_choose_how_it_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "a secret").unwrap();
    let jwt = Jwt::open(&options(folder.path(), "HS256", None, Some("secret"))).unwrap();
    let part = |text: &str| BASE64.encode(text);
    let claims = part("{\"username\":\"root\",\"revision\":1,\"exp\":9999999999}");
    for header in ["{\"alg\":\"none\"}", "{\"alg\":\"HS512\"}", "{}", "x"] {
        assert_eq!(jwt.verify(&format!("{}.{claims}.", part(header)), moment(0)), None);
    }
    for garbage in ["", ".", "..", "a.b.c", "\u{e4}.\u{e4}.\u{e4}"] {
        assert_eq!(jwt.verify(garbage, moment(0)), None);
    }
}
