//! Words for what goes wrong with the agent.

use vault_core::agent::link::{LinkError, Told};

use super::Message;
use super::catalogue::{self as kinds};
use super::text::caused;
use crate::agent::AgentError;
use crate::escape::quoted_path;
use crate::session::SessionError;

/// What is said when the agent cannot be used.
pub(super) fn message(error: &AgentError) -> Message {
    match error {
        AgentError::Link(error) => of_link(error),
        AgentError::NoFolder(places) => {
            let message = Message::new(kinds::AGENT_REFUSED, "there is no safe place for the agent's socket");
            let message = places
                .iter()
                .fold(message, |message, (path, why)| message.hint(format!("{}: {why}", quoted_path(path))));
            message.hint("name a socket with VAULT_AGENT_SOCK, in a folder of your own; or work without an agent: --no-agent")
        }
        AgentError::Running(path) => {
            Message::new(kinds::AGENT_RUNNING, format!("an agent listens on {} already", quoted_path(path)))
        }
        AgentError::NotStarted => {
            Message::new(kinds::AGENT_NOT_STARTED, "the agent ended before it was ready")
        }
        AgentError::NotRunning => Message::new(kinds::AGENT_NOT_RUNNING, "no agent runs"),
    }
}

fn of_link(error: &LinkError) -> Message {
    match error {
        LinkError::Told(told) => {
            let kind = kinds::by_id(&told.id, told.exit);
            Message {
                kind,
                exit: kind.exit,
                text: told.text.clone(),
                hints: told.hints.clone(),
                causes: told.causes.clone(),
                parts: told.parts.clone(),
            }
        }
        LinkError::Lost(error) => {
            caused(kinds::AGENT_LOST, "the agent ended, or did not answer in time", error)
                .hint("whether a change was saved is not known; see: vault status, vault list")
        }
        LinkError::Silent(waited) => {
            Message::new(kinds::AGENT_LOST, format!("the agent did not answer for {} s", waited.as_secs()))
                .hint("is its process stopped, or the machine busy? to work without it: --no-agent")
        }
        LinkError::Frame(error) => {
            Message::new(kinds::AGENT_PROTOCOL, format!("the agent cannot be understood: {error}"))
                .hint("to work without it: --no-agent")
        }
        LinkError::Place { path, why } => Message::new(
            kinds::AGENT_REFUSED,
            format!("refusing the agent's socket {}: {why}", quoted_path(path)),
        )
        .hint("to work without an agent: --no-agent"),
        LinkError::System(path, error) => {
            caused(kinds::AGENT_REFUSED, &format!("cannot use {} for the agent", quoted_path(path)), error)
                .hint("to work without an agent: --no-agent")
        }
    }
}

/// What the agent says about an error of its session.
pub(crate) fn wire(error: &SessionError) -> Told {
    let Message { kind, exit, text, hints, causes, parts } = super::session::message(error);
    Told { id: kind.id.to_owned(), exit: exit.number(), text, hints, causes, parts }
}
