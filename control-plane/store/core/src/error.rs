//! What a client is told when it is refused. Clients match on the text, so texts and codes are etcd's, to the letter.

use crate::view::Fault;

/// The gRPC code a refusal goes out with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request can never succeed as it is.
    InvalidArgument,
    /// The thing named in the request does not exist.
    NotFound,
    /// The state of the store or cluster does not allow it now.
    FailedPrecondition,
    /// A revision or a number is outside of what the store holds.
    OutOfRange,
    /// A quota or a queue is full.
    ResourceExhausted,
    /// Try again, perhaps at another member.
    Unavailable,
    /// The data cannot be trusted.
    DataLoss,
    /// This server does not do it.
    Unimplemented,
    /// The stream was ended by the client or by the server.
    Canceled,
    /// The caller is known and may not do it.
    PermissionDenied,
    /// The caller is not known.
    Unauthenticated,
    /// What etcd's server gives no code of its own.
    Unknown,
}

impl Code {
    /// The name by which Go's gRPC writes it; it is part of some texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "InvalidArgument",
            Self::NotFound => "NotFound",
            Self::FailedPrecondition => "FailedPrecondition",
            Self::OutOfRange => "OutOfRange",
            Self::ResourceExhausted => "ResourceExhausted",
            Self::Unavailable => "Unavailable",
            Self::DataLoss => "DataLoss",
            Self::Unimplemented => "Unimplemented",
            Self::Canceled => "Canceled",
            Self::PermissionDenied => "PermissionDenied",
            Self::Unauthenticated => "Unauthenticated",
            Self::Unknown => "Unknown",
        }
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A request without a key.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// `ignore_value` or `ignore_lease` for a key that is not there; an operation without content.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// A value beside `ignore_value`.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// A lease beside `ignore_lease`.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// A transaction with more operations than allowed.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// A transaction that would change one key twice.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// An unknown sort order or target.
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
    /// A request larger than `--max-request-bytes`.
    #[error("etcdserver: request is too large")]
    RequestTooLarge,
    /// The revision is below the compacted one.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The revision has not happened yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// The quota is used up.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// No such lease.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// A lease with this id exists.
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    /// A lease of centuries.
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    /// The CORRUPT alarm is raised.
    #[error("etcdserver: corrupt cluster")]
    Corrupt,
    /// Too much is under way already.
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    /// No leader is known.
    #[error("etcdserver: no leader")]
    NoLeader,
    /// Leadership moved while the request was under way.
    #[error("etcdserver: leader changed")]
    LeaderChanged,
    /// The member is going down.
    #[error("etcdserver: server stopped")]
    Stopped,
    /// The request took too long.
    #[error("etcdserver: request timed out")]
    TimedOut,
    /// The request took too long, and there is no leader any more.
    #[error("etcdserver: request timed out, possibly due to previous leader failure")]
    TimedOutLeaderFailed,
    /// Leadership did not move in time.
    #[error("etcdserver: request timed out, leader transfer took too long")]
    TimedOutTransfer,
    /// Leadership cannot go to that member.
    #[error("etcdserver: bad leader transferee")]
    BadLeaderTransferee,
    /// No such member.
    #[error("etcdserver: member not found")]
    MemberNotFound,
    /// A member with this id exists.
    #[error("etcdserver: member ID already exist")]
    MemberExists,
    /// Another member has one of these peer URLs.
    #[error("etcdserver: Peer URLs already exists")]
    PeerUrlExists,
    /// Peer URLs that are none.
    #[error("etcdserver: given member URLs are invalid")]
    MemberUrlsInvalid,
    /// Only learners are promoted.
    #[error("etcdserver: can only promote a learner member")]
    NotLearner,
    /// The learner is too far behind.
    #[error("etcdserver: can only promote a learner member which is in sync with leader")]
    LearnerNotReady,
    /// There are as many learners as may be.
    #[error("etcdserver: too many learner members in cluster")]
    TooManyLearners,
    /// A learner answers only what needs no agreement.
    #[error("etcdserver: rpc not supported for learner")]
    NotForLearner,
    /// The change would leave too few members that run.
    #[error("etcdserver: re-configuration failed due to not enough started members")]
    NotEnoughStarted,
    /// Too few members are connected for a change of members.
    #[error("etcdserver: unhealthy cluster")]
    Unhealthy,
    /// Only the leader does it.
    #[error("etcdserver: not leader")]
    NotLeader,
    /// The member's place was taken by another disk.
    #[error("member has already been bootstrapped")]
    MemberBootstrapped,
    /// The watch stream was ended.
    #[error("etcdserver: watch canceled")]
    WatchCanceled,
    /// A ranged stream with a sort order or a revision filter.
    #[error("etcdserver: RangeStream supports neither sort options nor revision filters")]
    StreamNotPlain,
    /// Authentication needs a user `root` first.
    #[error("etcdserver: root user does not exist")]
    RootUserNotExist,
    /// Authentication needs the user `root` to have the role `root`.
    #[error("etcdserver: root user does not have root role")]
    RootRoleNotExist,
    /// A user of this name exists.
    #[error("etcdserver: user name already exists")]
    UserAlreadyExist,
    /// No user is named, or the request has no credentials.
    #[error("etcdserver: user name is empty")]
    UserEmpty,
    /// No such user.
    #[error("etcdserver: user name not found")]
    UserNotFound,
    /// A role of this name exists.
    #[error("etcdserver: role name already exists")]
    RoleAlreadyExist,
    /// No such role.
    #[error("etcdserver: role name not found")]
    RoleNotFound,
    /// No role is named.
    #[error("etcdserver: role name is empty")]
    RoleEmpty,
    /// A wrong name or password.
    #[error("etcdserver: authentication failed, invalid user ID or password")]
    AuthFailed,
    /// A password for a user who may only come with a certificate.
    #[error("auth: authentication failed, password was given for no password user")]
    NoPasswordUser,
    /// A grant without a permission.
    #[error("etcdserver: permission not given")]
    PermissionNotGiven,
    /// The user may not do this.
    #[error("etcdserver: permission denied")]
    PermissionDenied,
    /// The user does not have the role.
    #[error("etcdserver: role is not granted to the user")]
    RoleNotGranted,
    /// The role does not have the permission.
    #[error("etcdserver: permission is not granted to the role")]
    PermissionNotGranted,
    /// There are no tokens while authentication is off.
    #[error("etcdserver: authentication is not enabled")]
    AuthNotEnabled,
    /// A token nobody knows, or whose time is over.
    #[error("etcdserver: invalid auth token")]
    InvalidAuthToken,
    /// A change that would lock out `root`, or a permission for no key.
    #[error("etcdserver: invalid auth management")]
    InvalidAuthManagement,
    /// Users or roles changed since the credentials were checked.
    #[error("etcdserver: revision of auth store is old")]
    AuthOldRevision,
    /// Tokens can only be checked here: there is no key to sign them with.
    #[error("auth: token signing attempted with verify-only key")]
    VerifyOnly,
    /// The lease of a session ended before its lock was taken.
    #[error("mutex: session is expired")]
    SessionExpired,
    /// The leadership the request speaks of is over.
    #[error("election: not leader")]
    ElectionNotLeader,
    /// Nobody leads.
    #[error("election: no leader")]
    ElectionNoLeader,
    /// A request about a leadership that names none.
    #[error("\"leader\" field must be provided")]
    MissingLeaderKey,
    /// A version that is not one.
    #[error("etcdserver: wrong downgrade target version format")]
    WrongVersionFormat,
    /// A version that cannot be gone down to.
    #[error("etcdserver: invalid downgrade target version")]
    InvalidDowngradeTarget,
    /// There is no downgrade to cancel.
    #[error("etcdserver: no inflight downgrade job")]
    NoInflightDowngrade,
    /// An action nobody knows.
    #[error("etcdserver: unknown method")]
    UnknownMethod,
}

/// What a member may be told by the leader it passed a request on to.
const PASSED_ON: [Refusal; 19] = [
    Refusal::NoLeader,
    Refusal::LeaderChanged,
    Refusal::Stopped,
    Refusal::TimedOut,
    Refusal::TimedOutLeaderFailed,
    Refusal::TimedOutTransfer,
    Refusal::TooManyRequests,
    Refusal::NotLeader,
    Refusal::BadLeaderTransferee,
    Refusal::MemberNotFound,
    Refusal::MemberExists,
    Refusal::PeerUrlExists,
    Refusal::MemberUrlsInvalid,
    Refusal::NotLearner,
    Refusal::LearnerNotReady,
    Refusal::TooManyLearners,
    Refusal::NotEnoughStarted,
    Refusal::Unhealthy,
    Refusal::MemberBootstrapped,
];

impl Refusal {
    /// The refusal with this text, if it is one that members pass on.
    #[must_use]
    pub fn passed_on(text: &str) -> Option<Self> {
        PASSED_ON.into_iter().find(|refusal| refusal.to_string() == text)
    }

    /// The gRPC code etcd uses for it.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::EmptyKey
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::InvalidSortOption
            | Self::RequestTooLarge
            | Self::MemberUrlsInvalid
            | Self::UserEmpty
            | Self::RoleEmpty
            | Self::AuthFailed
            | Self::PermissionNotGiven
            | Self::InvalidAuthManagement
            | Self::AuthOldRevision
            | Self::WrongVersionFormat
            | Self::InvalidDowngradeTarget => Code::InvalidArgument,
            Self::PermissionDenied => Code::PermissionDenied,
            Self::InvalidAuthToken => Code::Unauthenticated,
            Self::NoPasswordUser
            | Self::VerifyOnly
            | Self::SessionExpired
            | Self::ElectionNotLeader
            | Self::ElectionNoLeader
            | Self::MissingLeaderKey
            | Self::UnknownMethod => Code::Unknown,
            Self::Compacted | Self::FutureRevision | Self::LeaseTtlTooLarge => Code::OutOfRange,
            Self::NoSpace | Self::TooManyRequests => Code::ResourceExhausted,
            Self::LeaseNotFound | Self::MemberNotFound => Code::NotFound,
            Self::LeaseExists
            | Self::BadLeaderTransferee
            | Self::MemberExists
            | Self::PeerUrlExists
            | Self::NotLearner
            | Self::LearnerNotReady
            | Self::TooManyLearners
            | Self::NotForLearner
            | Self::NotEnoughStarted
            | Self::NotLeader
            | Self::MemberBootstrapped
            | Self::RootUserNotExist
            | Self::RootRoleNotExist
            | Self::UserAlreadyExist
            | Self::UserNotFound
            | Self::RoleAlreadyExist
            | Self::RoleNotFound
            | Self::RoleNotGranted
            | Self::PermissionNotGranted
            | Self::AuthNotEnabled
            | Self::NoInflightDowngrade => Code::FailedPrecondition,
            Self::Corrupt => Code::DataLoss,
            Self::NoLeader
            | Self::LeaderChanged
            | Self::Stopped
            | Self::TimedOut
            | Self::TimedOutLeaderFailed
            | Self::Unhealthy
            | Self::TimedOutTransfer => Code::Unavailable,
            Self::WatchCanceled => Code::Canceled,
            Self::StreamNotPlain => Code::Unimplemented,
        }
    }
}

/// Why a request failed: the client's fault, or the database's.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The client is told.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The state could not be read; the member must not go on as if nothing had happened.
    #[error(transparent)]
    Fault(#[from] Fault),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_codes_are_those_clients_match_on() {
        let table = [
            (Refusal::Compacted, "etcdserver: mvcc: required revision has been compacted", Code::OutOfRange),
            (Refusal::FutureRevision, "etcdserver: mvcc: required revision is a future revision", Code::OutOfRange),
            (Refusal::LeaseNotFound, "etcdserver: requested lease not found", Code::NotFound),
            (Refusal::LeaseExists, "etcdserver: lease already exists", Code::FailedPrecondition),
            (Refusal::NoSpace, "etcdserver: mvcc: database space exceeded", Code::ResourceExhausted),
            (Refusal::DuplicateKey, "etcdserver: duplicate key given in txn request", Code::InvalidArgument),
        ];
        for (refusal, text, code) in table {
            assert_eq!(refusal.to_string(), text);
            assert_eq!(refusal.code(), code);
        }
    }
}
