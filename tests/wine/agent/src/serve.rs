//! Receives orders and answers them.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use nsemail_agent::{ENDED, Order, Reader, SENT, Writer};

use crate::{
    device::{self, Devices, Outcome},
    process, registry, repeat, service,
};

/// Where answers go; several threads answer.
type Output = Arc<Mutex<io::Stdout>>;

fn answer(output: &Output, token: u32, message: Writer) {
    let mut output = output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // If nobody listens any more, the next order will not come either.
    let _ = message.send(token, &mut *output);
    let _ = output.flush();
}

fn ended(outcome: &Outcome) -> Writer {
    Writer::new()
        .number(ENDED)
        .number(outcome.error)
        .number(outcome.returned)
        .bytes(&outcome.output)
}

/// Serves until the other end is gone.
pub fn serve() -> io::Result<()> {
    let output: Output = Arc::new(Mutex::new(io::stdout()));
    let mut input = io::stdin().lock();
    let mut devices = Devices::default();
    while let Some((token, mut message)) = Reader::receive(&mut input)? {
        let Some(order) = Order::from_number(message.number()) else {
            break;
        };
        let reply = Writer::new();
        let reply = match order {
            Order::Open => {
                let (path, access) = (message.text(), message.number());
                match devices.open(&path, access) {
                    Ok(handle) => reply.number(0).number(handle),
                    Err(error) => reply.number(error).number(0),
                }
            }
            Order::Close => reply.number(devices.close(message.number())),
            Order::Duplicate => match devices.duplicate(message.number()) {
                Ok(handle) => reply.number(0).number(handle),
                Err(error) => reply.number(error).number(0),
            },
            Order::Control => {
                let (handle, code, room) = (message.number(), message.number(), message.number());
                let input = message.bytes();
                let call = devices.send(token, handle, code, input, room);
                answer(&output, token, reply.number(SENT));
                let output = Arc::clone(&output);
                device::when_ended(call, move |outcome| answer(&output, token, ended(&outcome)));
                continue;
            }
            Order::Cancel => reply.number(u32::from(devices.cancel(message.number()))),
            Order::HasEnded => reply.number(u32::from(devices.has_ended(message.number()))),
            Order::CreateService => {
                let (name, display, path, group) =
                    (message.text(), message.text(), message.text(), message.text());
                let (start, control) = (message.number(), message.number());
                reply.number(service::create(&name, &display, &path, &group, start, control))
            }
            Order::StartService => reply.number(service::start(&message.text())),
            Order::StopService => reply.number(service::stop(&message.text())),
            Order::QueryService => match service::query(&message.text()) {
                Ok((state, code)) => reply.number(0).number(state).number(code),
                Err(error) => reply.number(error),
            },
            Order::DeleteKey => reply.number(registry::delete(&message.text())),
            Order::SetValue => {
                let (path, name, kind) = (message.text(), message.text(), message.number());
                reply.number(registry::set(&path, &name, kind, &message.bytes()))
            }
            Order::Identify => reply.number(std::process::id()),
            Order::Repeat => {
                let (handle, code, room) = (message.number(), message.number(), message.number());
                let times = message.number();
                let input = message.bytes();
                let repeated = repeat::repeat(devices.handle(handle), code, &input, room, times);
                reply
                    .number(repeated.error)
                    .number(repeated.returned)
                    .number(repeated.microseconds)
            }
            Order::Kill => reply.number(process::kill(message.number())),
        };
        answer(&output, token, reply);
    }
    Ok(())
}
