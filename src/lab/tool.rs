//! Runs the outside's tools and keeps what they say for the error.

use std::io::Write;
use std::process::{Command, Stdio};

use super::LabError;

/// Runs a tool to its end and returns its standard output.
pub(crate) fn run(argv: &[&str]) -> Result<String, LabError> {
    run_with_input(argv, "")
}

/// Runs a tool with a text on its standard input and returns its standard output.
pub(crate) fn run_with_input(argv: &[&str], input: &str) -> Result<String, LabError> {
    let [tool, arguments @ ..] = argv else {
        return Ok(String::new());
    };
    let spawn_error = |source| LabError::Spawn { tool: (*tool).to_owned(), source };
    let mut child = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(spawn_error)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that fails before it has read everything closes the pipe; its status tells why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(spawn_error)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failure(argv, &output.status.to_string(), &String::from_utf8_lossy(&output.stderr)))
}

/// The error of a tool that ended badly, with the last lines it said.
pub(crate) fn failure(argv: &[&str], status: &str, said: &str) -> LabError {
    LabError::Tool { command: argv.join(" "), status: status.to_owned(), output: last_lines(said, 5) }
}

/// The last non-empty lines of a text, on one line.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}

/// Whether a tool is on the path.
pub(crate) fn exists(tool: &str) -> bool {
    run(&["sh", "-c", "command -v -- \"$1\"", "sh", tool]).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_carries_the_last_lines() {
        let error = run(&["sh", "-c", "seq 9 >&2; exit 3"]).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c seq 9 >&2; exit 3` failed (exit status: 3): 5 | 6 | 7 | 8 | 9");
    }

    #[test]
    fn input_reaches_the_tool() {
        assert_eq!(run_with_input(&["cat"], "a\n").unwrap(), "a\n");
    }
}
