//! What requests cost under Wine: for the benches.

use std::{sync::Arc, time::Duration};

use nsemail::transport::Device;
use nsemail_agent::Order;
use scenarios::kernel::{Kernel, Win32};

use crate::{
    agent::{Agent, Rights},
    install,
    machine::{self, Machine},
    prefix::Prefix,
    run::Options,
};

/// A machine with both drivers running, and a program that has the client's device open.
pub struct Measured {
    program: Agent,
    handle: u32,
    machine: Machine,
}

impl Measured {
    /// Makes a prefix, installs and starts both drivers.
    pub fn boot(options: &Options) -> Result<Self, String> {
        let packages = install::read(&options.inf)?;
        let prefix = Arc::new(Prefix::make(&options.prefix, &options.log, &options.images)?);
        machine::prepare(&prefix)?;
        let machine = Machine::boot(&prefix, &packages)?;
        (&machine as &dyn Kernel).start_both();
        let program = Agent::start(&prefix, Rights::Administrator)?;
        let path = Device::Client.path();
        let opened = program.ask(Order::Open, |message| message.text(path).number(1));
        let mut opened = opened.map_err(|_| "the program is gone")?;
        match (opened.number(), opened.number()) {
            (0, handle) => Ok(Self {
                program,
                handle,
                machine,
            }),
            (error, _) => Err(format!("the device is not opened: error {error}")),
        }
    }

    /// The machine.
    #[must_use]
    pub fn kernel(&self) -> &dyn Kernel {
        &self.machine
    }

    /// Sends a request `times` times, each when the one before has ended: what the last was answered, and the time that
    /// all took, as the program under Wine measured it.
    pub fn repeat(
        &self,
        code: u32,
        input: &[u8],
        room: u32,
        times: u32,
    ) -> Result<(Result<(), Win32>, Duration), String> {
        let answer = self.program.ask(Order::Repeat, |message| {
            let message = message.number(self.handle).number(code);
            message.number(room).number(times).bytes(input)
        });
        let mut answer = answer.map_err(|_| "the program is gone")?;
        let (error, _returned) = (answer.number(), answer.number());
        let took = Duration::from_micros(answer.number().into());
        Ok((machine::check(error), took))
    }

    /// Ends all processes.
    pub fn end(self) {
        let prefix = Arc::clone(self.machine.prefix());
        drop((self.program, self.machine));
        prefix.end_all();
    }
}
