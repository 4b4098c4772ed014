//! Holding operations back, and making them fail.

use std::sync::{Arc, Weak};

use super::path::VolumePath;
use crate::{
    Machine,
    faults::{Class, Failure},
    ntstatus::NtStatus,
    scheduler::SchedulerEvent,
    sync::StateLock,
};

/// What a driver does with files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `ZwCreateFile` and `ZwOpenFile`.
    CreateFile,
    /// `ZwReadFile`.
    ReadFile,
    /// `ZwWriteFile`.
    WriteFile,
    /// `ZwFlushBuffersFile`.
    FlushFile,
    /// `ZwSetInformationFile` with `FileRenameInformation`.
    RenameFile,
    /// `ZwSetInformationFile` with `FileEndOfFileInformation`.
    SetEndOfFile,
    /// `ZwDeleteFile`, and marking for deletion.
    DeleteFile,
}

impl Operation {
    /// The function by which a driver does it, with the class of information where that decides.
    #[must_use]
    pub const fn function(self) -> &'static str {
        match self {
            Self::CreateFile => "ZwCreateFile",
            Self::ReadFile => "ZwReadFile",
            Self::WriteFile => "ZwWriteFile",
            Self::FlushFile => "ZwFlushBuffersFile",
            Self::RenameFile => "ZwSetInformationFile (FileRenameInformation)",
            Self::SetEndOfFile => "ZwSetInformationFile (FileEndOfFileInformation)",
            Self::DeleteFile => "ZwDeleteFile",
        }
    }
}

/// Operations that fail although nothing is wrong with them.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which operations.
    pub operation: Operation,
    /// How many of them succeed before.
    pub after: usize,
    /// How many of them fail then; `usize::MAX` for all.
    pub times: usize,
    /// How they fail, for example [`NtStatus::DISK_FULL`].
    pub status: NtStatus,
}

#[derive(Debug, Default)]
pub(super) struct Gates {
    holds: StateLock<Vec<Weak<Gate>>>,
}

#[derive(Debug)]
struct Gate {
    operation: Operation,
    /// In upper case.
    part: Option<String>,
    reached: Box<dyn SchedulerEvent>,
    released: Box<dyn SchedulerEvent>,
}

/// Holds operations back; see [`Machine::hold`]. Dropping it releases them.
#[derive(Debug)]
#[must_use = "dropping the hold releases it"]
pub struct Hold {
    machine: Machine,
    gate: Arc<Gate>,
}

impl Hold {
    /// Waits until an operation is held back: it is in flight from now on.
    pub fn wait_until_reached(&self) {
        let _entered = self.machine.enter();
        self.gate.reached.wait();
    }

    /// Tells whether an operation is, or was, held back.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.gate.reached.is_set()
    }

    /// Lets go on what is held back, and holds nothing back any more.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gate.released.set();
    }
}

impl Gates {
    pub(super) fn hold(&self, machine: &Machine, operation: Operation, part: Option<&str>) -> Hold {
        let gate = Arc::new(Gate {
            operation,
            part: part.map(str::to_uppercase),
            reached: machine.scheduler().event(),
            released: machine.scheduler().event(),
        });
        self.holds.with(|holds| {
            holds.retain(|hold| hold.strong_count() > 0);
            holds.push(Arc::downgrade(&gate));
        });
        Hold {
            machine: machine.clone(),
            gate,
        }
    }

    pub(super) fn release_all(&self) {
        for gate in self.holds.with(core::mem::take).iter().filter_map(Weak::upgrade) {
            gate.released.set();
        }
    }

    /// What every operation of a driver goes through before it takes effect: it waits here if it is
    /// held, and fails here if it is to fail.
    pub(super) fn pass(
        &self,
        machine: &Machine,
        operation: Operation,
        path: &VolumePath,
    ) -> Result<(), NtStatus> {
        self.judge(machine, operation, path)
            .map_err(|failure| failure.status)
    }

    /// As [`Self::pass`], for an operation that may fail in the middle.
    pub(super) fn judge(
        &self,
        machine: &Machine,
        operation: Operation,
        path: &VolumePath,
    ) -> Result<(), Failure> {
        let held: Vec<Arc<Gate>> = self.holds.with(|holds| {
            if holds.is_empty() {
                return Vec::new();
            }
            let key = path.key();
            let applies = |gate: &Arc<Gate>| {
                gate.operation == operation && gate.part.as_ref().is_none_or(|part| key.contains(part))
            };
            holds.iter().filter_map(Weak::upgrade).filter(applies).collect()
        });
        for gate in held {
            gate.reached.set();
            gate.released.wait();
        }
        machine.faults_state().judge(Class::File, operation.function())
    }
}
