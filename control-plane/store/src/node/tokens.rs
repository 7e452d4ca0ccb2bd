//! Tokens that this member does not know: the leader is asked whose they are.

use proto::peer::TokenUserRequest;
use store_core::Refusal;

use super::Node;
use crate::peers::links::Purpose;

impl Node {
    /// The user a token stands for, as the leader knows it.
    pub(crate) async fn token_user(&self, token: &str) -> Result<Option<String>, Refusal> {
        self.at_the_leader(
            || self.token_user_as_leader(token),
            |leader| async move {
                let request = TokenUserRequest { route: Some(self.links.route(leader.id)), token: token.to_owned() };
                let answer = self.links.client(leader.id, Purpose::Control).token_user(request).await?.into_inner();
                Ok(Some(answer.user).filter(|user| !user.is_empty()))
            },
        )
        .await
    }

    /// The same, if this member leads: what was taken back before the question was asked is not good any more.
    pub(crate) async fn token_user_as_leader(&self, token: &str) -> Result<Option<String>, Refusal> {
        self.lead_for_sure().await?;
        Ok(self.access.token_user(token))
    }
}
