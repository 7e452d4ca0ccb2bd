//! The file, checked.

use std::collections::BTreeMap;

use apiserver_core::field::{Errors, Path};
use x509_parser::pem::Pem;

use super::{Anonymous, Claim, Configuration, Issuer, written};
use crate::jose::Algorithm;

/// Issuers at most; upstream's.
const MOST_ISSUERS: usize = 64;

pub(super) fn check(written: written::Configuration, own: &[String], errors: &mut Errors) -> Configuration {
    let root = Path::new("jwt");
    if written.jwt.len() > MOST_ISSUERS {
        errors.too_many(&root, written.jwt.len(), MOST_ISSUERS);
    }
    let mut issuers: Vec<Issuer> = Vec::new();
    for (index, one) in written.jwt.into_iter().enumerate() {
        let path = root.index(index);
        let issuer = authenticator(one, own, &path, errors);
        let url = path.child("issuer").child("url");
        if issuers.iter().any(|other| other.url == issuer.url) {
            errors.duplicate(&url, issuer.url.as_str());
        }
        if let Some(discovery) = &issuer.discovery_url
            && issuers.iter().any(|other| other.discovery_url.as_ref() == Some(discovery))
        {
            errors.duplicate(&path.child("issuer").child("discoveryURL"), discovery.as_str());
        }
        issuers.push(issuer);
    }
    let anonymous = written.anonymous.map(|anonymous| {
        let paths: Vec<String> = anonymous.conditions.into_iter().map(|condition| condition.path).collect();
        match (anonymous.enabled, paths.is_empty()) {
            (true, true) => Anonymous::Everywhere,
            (true, false) => Anonymous::At(paths),
            (false, true) => Anonymous::Nowhere,
            (false, false) => {
                let path = Path::new("anonymous").child("conditions");
                errors.invalid(&path, paths, "enabled should be set to true when conditions are defined");
                Anonymous::Nowhere
            }
        }
    });
    Configuration { issuers, anonymous }
}

fn authenticator(written: written::Authenticator, own: &[String], path: &Path, errors: &mut Errors) -> Issuer {
    let written::Authenticator { issuer, claim_validation_rules, claim_mappings, user_validation_rules } = written;
    let at = path.child("issuer");
    url(&issuer.url, own, &at.child("url"), errors);
    let discovery_url = issuer.discovery_url.filter(|url| !url.is_empty());
    if let Some(discovery) = &discovery_url {
        let at = at.child("discoveryURL");
        if discovery.trim_end_matches('/') == issuer.url.trim_end_matches('/') {
            errors.invalid(&at, discovery.as_str(), "discoveryURL must be different from URL");
        }
        url(discovery, own, &at, errors);
    }
    audiences(&issuer.audiences, &issuer.audience_match_policy, &at, errors);
    let authority = Some(issuer.certificate_authority).filter(|pem| !pem.is_empty());
    if let Some(pem) = &authority
        && !Pem::iter_from_buffer(pem.as_bytes()).any(|block| block.is_ok_and(|block| block.label == "CERTIFICATE"))
    {
        errors.invalid(
            &at.child("certificateAuthority"),
            "<omitted>",
            "data does not contain any valid RSA or ECDSA certificates",
        );
    }
    if !issuer.egress_selector_type.is_empty() {
        let why = "egress selection is not supported by this server";
        errors.invalid(&at.child("egressSelectorType"), issuer.egress_selector_type, why);
    }
    let required = rules(claim_validation_rules, &path.child("claimValidationRules"), errors);
    let at = path.child("claimMappings");
    let user = mapping(claim_mappings.username, &at.child("username"), errors);
    if user.is_none() {
        errors.required(&at.child("username"), "claim or expression is required");
    }
    let groups = mapping(claim_mappings.groups, &at.child("groups"), errors);
    let uid = claim_mappings.uid;
    expression(&uid.expression, &at.child("uid").child("expression"), errors);
    if !claim_mappings.extra.is_empty() {
        expression("extra", &at.child("extra").index(0).child("valueExpression"), errors);
    }
    if !user_validation_rules.is_empty() {
        expression("user", &path.child("userValidationRules").index(0).child("expression"), errors);
    }
    Issuer {
        url: issuer.url,
        discovery_url,
        authority,
        audiences: issuer.audiences,
        algorithms: Algorithm::ALL.to_vec(),
        required,
        user: user.unwrap_or_else(|| Claim { name: String::new(), prefix: String::new() }),
        groups,
        uid: Some(uid.claim).filter(|claim| !claim.is_empty()),
    }
}

fn url(text: &str, own: &[String], path: &Path, errors: &mut Errors) {
    if text.is_empty() {
        return errors.required(path, "URL is required");
    }
    if own.iter().any(|one| one == text) {
        let why = format!("URL must not overlap with disallowed issuers: [{}]", own.join(" "));
        errors.invalid(path, text, &why);
    }
    let Some(rest) = text.strip_prefix("https://") else {
        return errors.invalid(path, text, "URL scheme must be https");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    for (wrong, why) in [
        (authority.contains('@'), "URL must not contain a username or password"),
        (rest.contains('?'), "URL must not contain a query"),
        (rest.contains('#'), "URL must not contain a fragment"),
        (authority.is_empty(), "URL must have a host"),
    ] {
        if wrong {
            errors.invalid(path, text, why);
        }
    }
}

fn audiences(audiences: &[String], policy: &str, path: &Path, errors: &mut Errors) {
    let (at, policy_at) = (path.child("audiences"), path.child("audienceMatchPolicy"));
    if audiences.is_empty() {
        errors.required(&at, "at least one jwt[*].audiences is required");
    }
    for (index, one) in audiences.iter().enumerate() {
        if one.is_empty() {
            errors.required(&at.index(index), "audience can't be empty");
        }
        if audiences[..index].contains(one) {
            errors.duplicate(&at.index(index), one.as_str());
        }
    }
    if audiences.len() > 1 && policy != "MatchAny" {
        errors.invalid(&policy_at, policy, "audienceMatchPolicy must be MatchAny for multiple audiences");
    }
    if audiences.len() == 1 && !["", "MatchAny"].contains(&policy) {
        errors.invalid(&policy_at, policy, "audienceMatchPolicy must be empty or MatchAny for single audience");
    }
}

fn rules(rules: Vec<written::Rule>, path: &Path, errors: &mut Errors) -> BTreeMap<String, String> {
    let mut required = BTreeMap::new();
    for (index, rule) in rules.into_iter().enumerate() {
        let at = path.index(index);
        match (rule.claim.is_empty(), rule.expression.is_empty()) {
            (true, true) => errors.required(&at, "claim or expression is required"),
            (false, false) => errors.invalid(&at, rule.claim, "claim and expression can't both be set"),
            (true, false) => {
                if !rule.required_value.is_empty() {
                    let why = "requiredValue can't be set when expression is set";
                    errors.invalid(&at.child("requiredValue"), rule.required_value, why);
                }
                expression(&rule.expression, &at.child("expression"), errors);
            }
            (false, true) => {
                if !rule.message.is_empty() {
                    errors.invalid(&at.child("message"), rule.message, "message can't be set when claim is set");
                }
                if required.insert(rule.claim.clone(), rule.required_value).is_some() {
                    errors.duplicate(&at.child("claim"), rule.claim);
                }
            }
        }
    }
    required
}

fn mapping(written: written::Prefixed, path: &Path, errors: &mut Errors) -> Option<Claim> {
    let written::Prefixed { claim, prefix, expression: code } = written;
    expression(&code, &path.child("expression"), errors);
    match (claim.is_empty(), code.is_empty(), prefix) {
        (false, false, _) => errors.invalid(path, "", "claim and expression can't both be set"),
        (true, false, Some(_)) => errors.invalid(path, "", "prefix can't be set when expression is set"),
        (true, true, Some(_)) => errors.required(&path.child("claim"), "non-empty claim name is required"),
        (false, true, None) => errors.required(
            &path.child("prefix"),
            "prefix is required when claim is set. It can be set to an empty string to disable prefixing",
        ),
        (false, true, Some(prefix)) => return Some(Claim { name: claim, prefix }),
        (true, _, None) => {}
    }
    None
}

/// The place of the expressions: until this server has their language, one that is there is refused.
fn expression(code: &str, path: &Path, errors: &mut Errors) {
    if !code.is_empty() {
        errors.forbidden(path, "CEL expressions are not supported by this server");
    }
}
