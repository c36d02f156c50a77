//! One command as root over one channel: becoming root, sending a shell text, reading what it says.
//!
//! The command line is always the same and holds no data: sshd and sudo log it. The shell it starts
//! says that it is there, reads the length of a text, and runs the text; what follows on its
//! standard input is the text's own.

use bytes::{Bytes, BytesMut};
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use zeroize::Zeroizing;

use super::session::{Connection, plain_words};
use crate::exec::RemoteError;

/// dd, because it never reads further than it was told: what follows is not its own.
const SHELL: &str = r#"/bin/sh -c 'echo keelwright-ready;read -r n&&eval "$(dd bs="$n" count=1 iflag=fullblock 2>/dev/null)"'"#;
const READY: &[u8] = b"keelwright-ready\n";
/// sudo's prompt. It comes on standard error only when sudo wants a password, so that one is never
/// sent where a shell would read it; a second one means that the first was wrong.
const PROMPT: &str = "keelwright-password:";
/// What is kept of standard error, and of a login shell's greeting: bounds memory.
const TALK_LIMIT: usize = 64 << 10;
/// For sudo to ask, and to judge a password: PAM delays a refusal by some seconds.
const SUDO_PATIENCE: Duration = Duration::from_secs(30);

/// How a command becomes root.
#[derive(Clone)]
pub(crate) enum Become {
    Already,
    Sudo,
    SudoPassword(SecretString),
}

/// Why a command as root did not come to its end.
#[derive(Debug)]
pub(crate) enum ExecError {
    /// Trying again on a new connection may help.
    Lost(String),
    Fatal(RemoteError),
}

impl From<russh::Error> for ExecError {
    fn from(error: russh::Error) -> Self {
        ExecError::Lost(plain_words(&error))
    }
}

/// A running command: its standard input, and what it says.
pub(crate) struct RootExec {
    pub writer: ChannelWriteHalf<Msg>,
    pub output: RootOutput,
}

/// What a running command says.
pub(crate) struct RootOutput {
    reader: ChannelReadHalf,
    ready: bool,
    greeting: BytesMut,
    pub errors: Vec<u8>,
    pub status: Option<u32>,
    how: Become,
    user: String,
    label: String,
}

/// Starts a shell text as root.
pub(crate) async fn run_as_root(
    connection: &Connection,
    how: &Become,
    text: &str,
) -> Result<RootExec, ExecError> {
    let channel = connection.session().await?;
    let command = match how {
        Become::Already => SHELL.to_owned(),
        Become::Sudo => format!("sudo -n -- {SHELL}"),
        Become::SudoPassword(_) => format!("sudo -S -p {PROMPT} -- {SHELL}"),
    };
    channel.exec(false, command).await?;
    let (reader, writer) = channel.split();
    let output = RootOutput {
        reader,
        ready: false,
        greeting: BytesMut::new(),
        errors: Vec::new(),
        status: None,
        how: how.clone(),
        user: connection.user.clone(),
        label: connection.label.clone(),
    };
    let mut exec = RootExec { writer, output };
    if let Become::SudoPassword(password) = how {
        let asked = tokio::time::timeout(SUDO_PATIENCE, exec.give_password(password)).await;
        asked.map_err(|_| exec.output.refused("sudo neither asks for a password nor goes on"))??;
    }
    let mut message = BytesMut::with_capacity(text.len() + 16);
    message.extend_from_slice(format!("{}\n", text.len()).as_bytes());
    message.extend_from_slice(text.as_bytes());
    exec.send(message.freeze()).await?;
    Ok(exec)
}

impl RootExec {
    /// Gives the command some input. It listens meanwhile: a server opens a channel with no window
    /// at all, and a writer that waits for one is not told when the connection falls.
    pub async fn send(&mut self, input: Bytes) -> Result<(), ExecError> {
        let RootExec { writer, output } = self;
        let sending = writer.data_bytes(input);
        tokio::pin!(sending);
        loop {
            tokio::select! {
                sent = &mut sending => return Ok(sent?),
                more = output.step() => if !more? {
                    return Err(output.ended());
                },
            }
        }
    }

    /// Gives the command all its input and takes everything it says, up to its end.
    pub async fn exchange(&mut self, input: Bytes) -> Result<Vec<u8>, ExecError> {
        let RootExec { writer, output } = self;
        let send = async {
            writer.data_bytes(input).await?;
            writer.eof().await
        };
        tokio::pin!(send);
        let mut sending = true;
        let mut all = Vec::new();
        loop {
            tokio::select! {
                sent = &mut send, if sending => {
                    sending = false;
                    // A command that has ended without reading its input is no lost connection.
                    let _ = sent;
                }
                piece = output.next() => match piece? {
                    Some(piece) => all.extend_from_slice(&piece),
                    None => return Ok(all),
                },
            }
        }
    }

    async fn give_password(&mut self, password: &SecretString) -> Result<(), ExecError> {
        let mut given = 0;
        while !self.output.ready {
            let prompts = String::from_utf8_lossy(&self.output.errors).matches(PROMPT).count();
            if prompts > given {
                if given > 0 {
                    let _ = self.writer.close().await;
                    return Err(self.output.refused("sudo does not take the password"));
                }
                given = prompts;
                let mut line = Zeroizing::new(Vec::with_capacity(password.expose_secret().len() + 1));
                line.extend_from_slice(password.expose_secret().as_bytes());
                line.push(b'\n');
                self.send(Bytes::from_owner(line)).await?;
            }
            if !self.output.step().await? {
                return Err(self.output.ended());
            }
        }
        Ok(())
    }
}

impl RootOutput {
    /// The next piece of standard output; None at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ExecError> {
        loop {
            if self.ready && !self.greeting.is_empty() {
                return Ok(Some(self.greeting.split().freeze()));
            }
            if !self.step().await? {
                return if self.ready { Ok(None) } else { Err(self.ended()) };
            }
        }
    }

    /// Takes one message in; false at the end.
    async fn step(&mut self) -> Result<bool, ExecError> {
        match self.reader.wait().await {
            Some(ChannelMsg::Data { data }) => {
                self.greeting.extend_from_slice(&data);
                if !self.ready {
                    // A login shell may greet before our shell does.
                    let at = self.greeting.windows(READY.len()).position(|window| window == READY);
                    if let Some(at) = at {
                        self.ready = true;
                        let _ = self.greeting.split_to(at + READY.len());
                    } else if self.greeting.len() > TALK_LIMIT {
                        return Err(self.refused("the login shell talks without end"));
                    }
                }
            }
            Some(ChannelMsg::ExtendedData { data, .. }) => {
                let room = TALK_LIMIT.saturating_sub(self.errors.len());
                self.errors.extend(data.iter().take(room));
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => self.status = Some(exit_status),
            Some(ChannelMsg::ExitSignal { .. }) => self.status = Some(137),
            Some(ChannelMsg::Failure) => return Err(self.refused("the server runs no commands")),
            Some(ChannelMsg::Close) => return Ok(false),
            None if self.status.is_some() => return Ok(false),
            None => return Err(ExecError::Lost(format!("the connection to {} fell", self.label))),
            Some(_) => {}
        }
        Ok(true)
    }

    /// What standard error says, for people.
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.errors).replace(PROMPT, "").trim().to_owned()
    }

    /// Why the command ended before it should have.
    fn ended(&self) -> ExecError {
        let said = self.complaint();
        if self.ready {
            return ExecError::Lost(format!("the shell on {} ended early: {said}", self.label));
        }
        if said.is_empty() && self.status.is_none() {
            return ExecError::Lost(format!("{} ended the session", self.label));
        }
        let said = if said.is_empty() { format!("status {}", self.status.unwrap_or(1)) } else { said };
        self.refused(&said)
    }

    fn refused(&self, said: &str) -> ExecError {
        let user = &self.user;
        let rule = format!(
            "as root on the machine: echo '{user} ALL=(root) NOPASSWD: /bin/sh' >/etc/sudoers.d/keelwright"
        );
        let missing = self.status == Some(127) || said.contains("not found");
        let (what, hint) = match &self.how {
            Become::Already => ("no shell", "check the login shell of root".to_owned()),
            Become::Sudo | Become::SudoPassword(_) if missing => {
                ("no sudo", "install sudo there, or log in as root (ssh.user in the inventory)".to_owned())
            }
            Become::Sudo => {
                ("`sudo -n` failed", format!("{rule}\n    or set `sudo: password` in the inventory"))
            }
            Become::SudoPassword(_) => ("sudo failed", rule),
        };
        RemoteError::Privilege { reason: format!("{what} on {}: {said}", self.label), hint: Some(hint) }
            .into()
    }
}

impl From<RemoteError> for ExecError {
    fn from(error: RemoteError) -> Self {
        ExecError::Fatal(error)
    }
}
