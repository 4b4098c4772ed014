//! A kernel that writes down what it was asked and what it answered, to compare two.

use std::sync::{Arc, Mutex, PoisonError};

use nsemail::transport::Device;
use nsemail_contract::wire::Reply;
use scenarios::kernel::{Access, Answer, Call, Driver, Handle, Hold, Kernel, Process, Service, Who, Win32};

/// What was answered, one line each. Of what is the same twice in a row only one is there: programs ask until they are
/// answered what they wait for, and one kernel takes longer than another.
#[derive(Clone, Default)]
pub struct Transcript(Arc<Mutex<Vec<String>>>);

impl Transcript {
    fn add(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The first place where two transcripts differ.
pub fn difference(wine: &[String], simulated: &[String]) -> Option<String> {
    let place = (0..wine.len().max(simulated.len())).find(|&at| wine.get(at) != simulated.get(at))?;
    let line = |lines: &[String]| lines.get(place).map_or("nothing", String::as_str).to_owned();
    Some(format!(
        "answer {place} differs: under Wine `{}`, on the simulated machine `{}`",
        line(wine),
        line(simulated)
    ))
}

/// A kernel with a transcript.
pub struct Recorded<'a> {
    kernel: &'a dyn Kernel,
    transcript: Transcript,
}

impl<'a> Recorded<'a> {
    /// Writes down what `kernel` answers from now on.
    pub fn new(kernel: &'a dyn Kernel, transcript: &Transcript) -> Self {
        Self {
            kernel,
            transcript: transcript.clone(),
        }
    }
}

impl Kernel for Recorded<'_> {
    fn start(&self, driver: Driver) -> Result<(), Win32> {
        let answer = self.kernel.start(driver);
        self.transcript.add(format!("start {driver:?}: {answer:?}"));
        answer
    }

    fn stop(&self, driver: Driver) -> Result<Service, Win32> {
        let answer = self.kernel.stop(driver);
        self.transcript.add(format!("stop {driver:?}: {answer:?}"));
        answer
    }

    fn service(&self, driver: Driver) -> Service {
        self.kernel.service(driver)
    }

    fn wait_until_stopped(&self, driver: Driver) {
        self.kernel.wait_until_stopped(driver);
    }

    fn process(&self, who: Who) -> Box<dyn Process> {
        Box::new(RecordedProcess {
            process: self.kernel.process(who),
            transcript: self.transcript.clone(),
            who,
        })
    }

    fn hold_flush(&self) -> Box<dyn Hold> {
        self.kernel.hold_flush()
    }
}

struct RecordedProcess {
    process: Box<dyn Process>,
    transcript: Transcript,
    who: Who,
}

impl Process for RecordedProcess {
    fn open(&self, device: Device, access: Access) -> Result<Box<dyn Handle>, Win32> {
        let answer = self.process.open(device, access);
        let told = answer.as_ref().map(|_| ()).map_err(|error| *error);
        self.transcript
            .add(format!("{:?} opens {device:?} {access:?}: {told:?}", self.who));
        Ok(Box::new(RecordedHandle {
            handle: answer?,
            transcript: self.transcript.clone(),
        }))
    }

    fn kill(&self) {
        self.process.kill();
    }
}

struct RecordedHandle {
    handle: Box<dyn Handle>,
    transcript: Transcript,
}

impl Handle for RecordedHandle {
    fn submit(&self, code: u32, input: &[u8], output_length: usize) -> Box<dyn Call> {
        Box::new(RecordedCall {
            call: self.handle.submit(code, input, output_length),
            transcript: self.transcript.clone(),
            request: format!("request {code:#010X}, {} bytes for {output_length}", input.len()),
        })
    }

    fn duplicate(&self) -> Box<dyn Handle> {
        Box::new(Self {
            handle: self.handle.duplicate(),
            transcript: self.transcript.clone(),
        })
    }
}

struct RecordedCall {
    call: Box<dyn Call>,
    transcript: Transcript,
    request: String,
}

impl Call for RecordedCall {
    fn cancel(&self) -> bool {
        self.call.cancel()
    }

    fn is_complete(&self) -> bool {
        self.call.is_complete()
    }

    fn wait(self: Box<Self>) -> Answer {
        let answer = self.call.wait();
        // How much is in a reply, and what else, depends on who is attached meanwhile, on times and on processes.
        let code = Reply::parse(&answer.bytes).map(|reply| reply.code);
        self.transcript
            .add(format!("{}: {:?}, {:?}", self.request, answer.result, code.ok()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_told_and_repetitions_are_none() {
        let transcript = Transcript::default();
        for line in ["a", "a", "b", "a"] {
            transcript.add(line.to_owned());
        }
        let lines = transcript.lines();
        assert_eq!(lines, ["a", "b", "a"]);
        assert_eq!(difference(&lines, &lines), None);
        let shorter = difference(&lines, &lines[..2]).unwrap();
        assert!(shorter.contains("answer 2") && shorter.contains("`a`") && shorter.contains("`nothing`"));
        assert!(
            difference(&lines, &["a", "c"].map(str::to_owned))
                .unwrap()
                .contains("answer 1")
        );
    }
}
