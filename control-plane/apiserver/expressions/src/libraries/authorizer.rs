//! Asking who may do what: `authorizer.group('apps').resource('deployments').namespace('a').check('get').allowed()`.

use std::fmt;
use std::sync::Arc;

use cel::{Error, Library, Type, Value};

use super::{Given, nominal, opaque, opaque_type, text};

const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
const PATH: &str = "kubernetes.authorization.PathCheck";
const GROUP: &str = "kubernetes.authorization.GroupCheck";
const RESOURCE: &str = "kubernetes.authorization.ResourceCheck";
const DECISION: &str = "kubernetes.authorization.Decision";

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Namespace and name of the service account that is asked for; the user of the request if there is none.
    pub service_account: Option<(String, String)>,
    /// What is to be done something with.
    pub target: Target,
    /// What is to be done.
    pub verb: String,
}

/// What is to be done something with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A path that is no resource.
    Path(String),
    /// Objects of a resource.
    Resource {
        /// The API group.
        group: String,
        /// The resource.
        resource: String,
        /// The subresource, or nothing.
        subresource: String,
        /// The namespace, or nothing.
        namespace: String,
        /// The name, or nothing.
        name: String,
        /// A selector of fields, as written.
        field_selector: Option<String>,
        /// A selector of labels, as written.
        label_selector: Option<String>,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// Whether it may be done.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong in asking.
    pub error: Option<String>,
}

/// Who answers.
pub trait Authorizer: fmt::Debug + Send + Sync {
    /// Decides.
    fn check(&self, check: &Check) -> Decision;
}

/// The value of `authorizer`.
pub fn authorizer_value(authorizer: Arc<dyn Authorizer>) -> Value<'static> {
    Value::opaque(Asked::<0>(Question { authorizer, service_account: None, target: Target::Path(String::new()) }))
}

/// The value of `authorizer.requestResource`.
pub fn request_resource_value(authorizer: Arc<dyn Authorizer>, target: Target) -> Value<'static> {
    Value::opaque(Asked::<3>(Question { authorizer, service_account: None, target }))
}

#[derive(Debug, Clone)]
struct Question {
    authorizer: Arc<dyn Authorizer>,
    service_account: Option<(String, String)>,
    target: Target,
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.authorizer, &other.authorizer)
            && self.service_account == other.service_account
            && self.target == other.target
    }
}

/// A question as far as it is asked: to the authorizer, about a path, a group or a resource.
#[derive(Debug, Clone, PartialEq)]
struct Asked<const STEP: usize>(Question);

opaque_type!(Asked<0>, AUTHORIZER);
opaque_type!(Asked<1>, PATH);
opaque_type!(Asked<2>, GROUP);
opaque_type!(Asked<3>, RESOURCE);

#[derive(Debug, PartialEq, Eq)]
struct Decided(Decision);
opaque_type!(Decided, DECISION);

pub(super) fn library() -> Library {
    use Type::{Bool, String};
    let of = |name: &str| Type::opaque(name);
    let (resource, decision) = ([of(RESOURCE), String], [of(DECISION)]);
    Library::default()
        .named_type(AUTHORIZER, of(AUTHORIZER))
        .named_type(PATH, of(PATH))
        .named_type(GROUP, of(GROUP))
        .named_type(RESOURCE, of(RESOURCE))
        .named_type(DECISION, of(DECISION))
        .member("path", "authorizer_path", &[of(AUTHORIZER), String], of(PATH), |args| {
            let path = text(&args[1])?;
            if path.is_empty() {
                return Err(Error::new("path must not be empty"));
            }
            step::<0, 1>(args, |question| question.target = Target::Path(path.to_owned()))
        })
        .costing(nominal)
        .member(
            "serviceAccount",
            "authorizer_serviceaccount",
            &[of(AUTHORIZER), String, String],
            of(AUTHORIZER),
            service_account,
        )
        .costing(nominal)
        .member("group", "authorizer_group", &[of(AUTHORIZER), String], of(GROUP), |args| {
            let group = text(&args[1])?.to_owned();
            step::<0, 2>(args, |question| question.target = resource_of(group))
        })
        .costing(nominal)
        .member("resource", "groupcheck_resource", &[of(GROUP), String], of(RESOURCE), |args| {
            let given = text(&args[1])?.to_owned();
            step::<2, 3>(args, |question| {
                if let Target::Resource { resource, .. } = &mut question.target {
                    *resource = given;
                }
            })
        })
        .costing(nominal)
        .member("subresource", "resourcecheck_subresource", &resource, of(RESOURCE), |args| {
            named(args, |target, given| {
                if let Target::Resource { subresource, .. } = target {
                    *subresource = given;
                }
            })
        })
        .costing(nominal)
        .member("namespace", "resourcecheck_namespace", &resource, of(RESOURCE), |args| {
            named(args, |target, given| {
                if let Target::Resource { namespace, .. } = target {
                    *namespace = given;
                }
            })
        })
        .costing(nominal)
        .member("name", "resourcecheck_name", &resource, of(RESOURCE), |args| {
            named(args, |target, given| {
                if let Target::Resource { name, .. } = target {
                    *name = given;
                }
            })
        })
        .costing(nominal)
        .member("fieldSelector", "authorizer_fieldselector", &resource, of(RESOURCE), |args| {
            named(args, |target, given| {
                if let Target::Resource { field_selector, .. } = target {
                    *field_selector = Some(given);
                }
            })
        })
        .costing(nominal)
        .member("labelSelector", "authorizer_labelselector", &resource, of(RESOURCE), |args| {
            named(args, |target, given| {
                if let Target::Resource { label_selector, .. } = target {
                    *label_selector = Some(given);
                }
            })
        })
        .costing(nominal)
        .member("check", "pathcheck_check", &[of(PATH), String], of(DECISION), |args| {
            check(&opaque::<Asked<1>>(&args[0])?.0, text(&args[1])?)
        })
        .costing(costly)
        .member("check", "resourcecheck_check", &resource, of(DECISION), |args| {
            check(&opaque::<Asked<3>>(&args[0])?.0, text(&args[1])?)
        })
        .costing(costly)
        .member("allowed", "decision_allowed", &decision, Bool, |args| Ok(Value::Bool(decided(args)?.allowed)))
        .costing(nominal)
        .member("reason", "decision_reason", &decision, String, |args| Ok(Value::string(&*decided(args)?.reason)))
        .costing(nominal)
        .member("errored", "decision_errored", &decision, Bool, |args| Ok(Value::Bool(decided(args)?.error.is_some())))
        .costing(nominal)
        .member("error", "decision_error", &decision, String, |args| {
            Ok(Value::string(decided(args)?.error.clone().unwrap_or_default()))
        })
        .costing(nominal)
}

/// No more than two questions can be asked in one expression.
fn costly(_: &[Value<'_>], _: &Value<'_>) -> u64 {
    350_000
}

fn resource_of(group: String) -> Target {
    let none = String::new;
    Target::Resource {
        group,
        resource: none(),
        subresource: none(),
        namespace: none(),
        name: none(),
        field_selector: None,
        label_selector: None,
    }
}

/// The question of one step asked further, to the next step.
fn step<'a, const FROM: usize, const TO: usize>(args: &[Value<'a>], change: impl FnOnce(&mut Question)) -> Given<'a>
where
    Asked<FROM>: cel::value::Opaque,
    Asked<TO>: cel::value::Opaque,
{
    let mut question = opaque::<Asked<FROM>>(&args[0])?.0.clone();
    change(&mut question);
    Ok(Value::opaque(Asked::<TO>(question)))
}

fn named<'a>(args: &[Value<'a>], change: fn(&mut Target, String)) -> Given<'a> {
    let given = text(&args[1])?.to_owned();
    step::<3, 3>(args, |question| change(&mut question.target, given))
}

fn service_account<'a>(args: &[Value<'a>]) -> Given<'a> {
    let (namespace, name) = (text(&args[1])?, text(&args[2])?);
    let wrong = apiserver_core::names::dns_label(namespace);
    if !wrong.is_empty() {
        return Err(Error::new(format!("Invalid service account namespace: {}", wrong.join(", "))));
    }
    let wrong = apiserver_core::names::dns_subdomain(name);
    if !wrong.is_empty() {
        return Err(Error::new(format!("Invalid service account name: {}", wrong.join(", "))));
    }
    step::<0, 0>(args, |question| question.service_account = Some((namespace.to_owned(), name.to_owned())))
}

#[allow(clippy::unnecessary_wraps, reason = "what is called by expressions has one signature")]
fn check<'a>(question: &Question, verb: &str) -> Given<'a> {
    let Question { authorizer, service_account, target } = question.clone();
    let decision = authorizer.check(&Check { service_account, target, verb: verb.to_owned() });
    Ok(Value::opaque(Decided(decision)))
}

fn decided<'v>(args: &'v [Value<'_>]) -> Result<&'v Decision, Error> {
    Ok(&opaque::<Decided>(&args[0])?.0)
}
