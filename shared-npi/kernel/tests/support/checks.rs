//! Checks of the wrappers that run inside the driver, where its registry key and its directory are.

use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nsemail_kernel::event::Event;
use nsemail_kernel::file::{Directory, Disposition};
use nsemail_kernel::irql::{self, Passive};
use nsemail_kernel::lock::{PushLock, SpinLock};
use nsemail_kernel::status::NtStatus;
use nsemail_kernel::thread::Thread;
use nsemail_kernel::time::Ticks;
use nsemail_kernel::wdf::{ControlDevice, ControlDeviceConfig, Device, DriverHandle, Request};
use nsemail_kernel::{random, time, utf16};
use pool_alloc::Arc;

use super::driver::EchoPool;

type Checked = Result<(), String>;

/// Runs the check called `name`.
pub fn run(name: &str, driver: DriverHandle, passive: Passive<'_>) -> Checked {
    match name {
        "registry" => registry(driver, passive),
        "files" => files(driver, passive),
        "threads" => threads(passive),
        "locks" => locks(passive),
        "events" => events(passive),
        "entropy" => entropy(passive),
        "device" => device(driver, passive),
        _ => Err(format!("no check called {name}")),
    }
}

/// Compares, and says where and what differs.
macro_rules! check {
    ($left:expr, $right:expr) => {{
        let (left, right) = (&$left, &$right);
        if *left != *right {
            return Err(format!("line {}: {left:?} is not {right:?}", line!()));
        }
    }};
}

fn failed(line: u32) -> impl Fn(NtStatus) -> String {
    move |status| format!("line {line}: {status}")
}

fn registry(driver: DriverHandle, passive: Passive<'_>) -> Checked {
    let pool = EchoPool::default();
    let parameters = driver.parameters(passive).map_err(failed(line!()))?;
    check!(
        parameters.open(passive, utf16!("None")).map(|key| key.is_none()),
        Ok(true)
    );
    let root = parameters
        .create(passive, utf16!("Root"))
        .map_err(failed(line!()))?;
    root.create(passive, utf16!("Zwei")).map_err(failed(line!()))?;
    let key = root.create(passive, utf16!("Eins")).map_err(failed(line!()))?;

    check!(key.dword(passive, utf16!("Number")), Ok(None));
    check!(key.set_dword(passive, utf16!("Number"), 0xDEAD_BEEF), Ok(()));
    check!(key.dword(passive, utf16!("number")), Ok(Some(0xDEAD_BEEF)));
    check!(
        key.string(passive, utf16!("Number"), pool).map(drop),
        Err(NtStatus::OBJECT_TYPE_MISMATCH)
    );

    check!(
        key.set_string(passive, utf16!("Text"), utf16!("grüße 🦀"), pool),
        Ok(())
    );
    let text = key
        .string(passive, utf16!("Text"), pool)
        .map_err(failed(line!()))?;
    check!(text.as_deref(), Some(utf16!("grüße 🦀")));
    check!(
        key.dword(passive, utf16!("Text")),
        Err(NtStatus::OBJECT_TYPE_MISMATCH)
    );

    for length in [0_usize, 1, 243, 244, 245, 5000, 65536] {
        let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
        check!(key.set_binary(passive, utf16!("Bytes"), &bytes), Ok(()));
        let read = key
            .binary(passive, utf16!("Bytes"), pool)
            .map_err(failed(line!()))?;
        check!(read.as_deref(), Some(bytes.as_slice()));
    }
    check!(key.set_binary(passive, utf16!("Bytes"), &vec![7; 70_000]), Ok(()));
    check!(
        key.binary(passive, utf16!("Bytes"), pool).map(drop),
        Err(NtStatus::BUFFER_OVERFLOW)
    );
    check!(key.delete_value(passive, utf16!("Bytes")), Ok(true));
    check!(key.delete_value(passive, utf16!("Bytes")), Ok(false));
    check!(key.flush(passive), Ok(()));

    let mut names = Vec::new();
    for index in 0.. {
        let name = root.subkey_name(passive, index, pool).map_err(failed(line!()))?;
        let Some(name) = name else { break };
        names.push(String::from_utf16_lossy(&name));
    }
    names.sort();
    check!(names, ["Eins", "Zwei"]);
    check!(key.delete(passive), Ok(()));
    check!(
        root.open(passive, utf16!("Eins")).map(|key| key.is_none()),
        Ok(true)
    );
    check!(
        root.open(passive, utf16!("Zwei")).map(|key| key.is_some()),
        Ok(true)
    );
    Ok(())
}

fn read_all(file: &nsemail_kernel::file::File, passive: Passive<'_>) -> Result<Vec<u8>, String> {
    let length = file.len(passive).map_err(failed(line!()))?;
    let mut bytes = vec![0xFF; usize::try_from(length).unwrap_or(0) + 10];
    let read = file.read_at(passive, 0, &mut bytes).map_err(failed(line!()))?;
    bytes.truncate(read);
    Ok(bytes)
}

fn files(driver: DriverHandle, passive: Passive<'_>) -> Checked {
    let directory: Directory = driver.data_directory(passive).map_err(failed(line!()))?;
    let missing = directory
        .open(passive, utf16!("a.log"), Disposition::Open)
        .map(drop);
    check!(missing, Err(NtStatus::OBJECT_NAME_NOT_FOUND));
    let file = directory
        .open(passive, utf16!("a.log"), Disposition::Create)
        .map_err(failed(line!()))?;
    check!(file.len(passive), Ok(0));
    check!(file.read_at(passive, 0, &mut [0; 4]), Ok(0));
    check!(file.write_at(passive, 0, b"hello, world"), Ok(()));
    check!(file.write_at(passive, 7, b"WORLD!"), Ok(()));
    check!(file.flush(passive), Ok(()));
    check!(read_all(&file, passive)?, b"hello, WORLD!");
    let mut middle = [0; 5];
    check!(file.read_at(passive, 7, &mut middle), Ok(5));
    check!(&middle, b"WORLD");
    check!(file.set_len(passive, 5), Ok(()));
    check!(file.set_len(passive, 8), Ok(()));
    check!(read_all(&file, passive)?, b"hello\0\0\0");

    // Longer than one transfer.
    let long: Vec<u8> = (0..=252).cycle().take(2_500_000).collect();
    check!(file.write_at(passive, 3, &long), Ok(()));
    let whole = read_all(&file, passive)?;
    check!(whole.get(3..), Some(long.as_slice()));

    check!(file.rename(passive, utf16!("b.log"), false), Ok(()));
    drop(file);
    let again = directory
        .open(passive, utf16!("b.log"), Disposition::Create)
        .map(drop);
    check!(again, Err(NtStatus::OBJECT_NAME_COLLISION));
    let other = directory
        .open(passive, utf16!("c.log"), Disposition::OpenOrCreate)
        .map_err(failed(line!()))?;
    check!(other.write_at(passive, 0, b"new"), Ok(()));
    check!(
        other.rename(passive, utf16!("b.log"), false),
        Err(NtStatus::OBJECT_NAME_COLLISION)
    );
    check!(other.rename(passive, utf16!("b.log"), true), Ok(()));
    check!(
        other.rename(passive, &[u16::from(b'x'); 256], true),
        Err(NtStatus::OBJECT_NAME_INVALID)
    );
    drop(other);
    let replaced = directory
        .open(passive, utf16!("b.log"), Disposition::Open)
        .map_err(failed(line!()))?;
    check!(read_all(&replaced, passive)?, b"new");
    check!(replaced.delete(passive), Ok(()));
    check!(directory.delete(passive, utf16!("b.log")), Ok(false));
    Ok(())
}

fn threads(passive: Passive<'_>) -> Checked {
    let ran = StdArc::new(AtomicUsize::new(0));
    let threads: Vec<Thread> = (0..4)
        .map(|_| {
            let ran = StdArc::clone(&ran);
            Thread::spawn(passive, EchoPool::default(), move |_| {
                ran.fetch_add(
                    usize::from(irql::current() == irql::PASSIVE_LEVEL),
                    Ordering::SeqCst,
                );
            })
            .map_err(|not| format!("line {}: {}", line!(), not.status))
        })
        .collect::<Result<_, _>>()?;
    for thread in threads {
        thread.join(passive);
    }
    check!(ran.load(Ordering::SeqCst), 4);
    // Each thread gave its share back.
    check!(StdArc::strong_count(&ran), 1);
    Ok(())
}

fn locks(passive: Passive<'_>) -> Checked {
    struct Locks {
        spin: SpinLock<u64>,
        push: PushLock<u64>,
    }
    let locks = Locks {
        spin: SpinLock::new(0),
        push: PushLock::new(0),
    };
    {
        let outer = locks.spin.lock();
        check!(irql::current(), irql::DISPATCH_LEVEL);
        drop(outer);
        check!(irql::current(), irql::PASSIVE_LEVEL);
    }
    let locks = Arc::try_new_in(locks, EchoPool::default()).map_err(|error| error.to_string())?;
    let mut threads = Vec::new();
    for _ in 0..3 {
        let locks = locks.clone();
        let thread = Thread::spawn(passive, EchoPool::default(), move |passive| {
            for _ in 0..2000 {
                locks.spin.with(|count| *count += 1);
                *locks.push.write(passive) += 1;
                let seen = *locks.push.read(passive);
                assert!(seen > 0);
            }
        });
        threads.push(thread.map_err(|not| not.status.to_string())?);
    }
    for thread in threads {
        thread.join(passive);
    }
    check!(*locks.spin.lock(), 6000);
    check!(*locks.push.read(passive), 6000);
    Ok(())
}

fn events(passive: Passive<'_>) -> Checked {
    let pool = EchoPool::default();
    let out_of_memory = |error: pool_alloc::OutOfMemory| error.to_string();
    let open = Event::notification_in(false, pool).map_err(out_of_memory)?;
    check!(open.is_set(), false);
    check!(open.wait_timeout(passive, Ticks::from_millis(5)), false);
    check!(open.set(), false);
    check!(open.set(), true);
    open.wait(passive);
    check!(open.wait_timeout(passive, Ticks::from_millis(5)), true);
    open.clear();
    check!(open.is_set(), false);

    let one = Event::synchronization_in(true, pool).map_err(out_of_memory)?;
    one.wait(passive);
    check!(one.wait_timeout(passive, Ticks::from_millis(5)), false);

    let shared = Arc::try_new_in(one, pool).map_err(out_of_memory)?;
    let setter = shared.clone();
    let thread = Thread::spawn(passive, pool, move |_| {
        setter.set();
    })
    .map_err(|not| not.status.to_string())?;
    shared.wait(passive);
    thread.join(passive);
    Ok(())
}

fn entropy(passive: Passive<'_>) -> Checked {
    let first = random::seed(passive).map_err(failed(line!()))?;
    let second = random::seed(passive).map_err(failed(line!()))?;
    check!(first == second, false);
    // After the year 2020, before 2100.
    let now = time::now();
    check!(
        (132_223_104_000_000_000..157_469_184_000_000_000).contains(&now),
        true
    );
    Ok(())
}

struct Other(StdArc<()>);

impl Device for Other {
    type File = ();

    fn create(&self, _: Passive<'_>) -> Result<(), NtStatus> {
        Ok(())
    }

    fn device_control(&self, _: Passive<'_>, request: Request<Self>) {
        request.complete(NtStatus::SUCCESS);
    }
}

/// Whatever step of making a device fails, nothing of it is left.
fn device(driver: DriverHandle, passive: Passive<'_>) -> Checked {
    let sddl = utf16!("D:P(A;;GA;;;SY)");
    let (name, link) = (utf16!(r"\Device\Other"), utf16!(r"\DosDevices\Other"));
    let (taken_name, taken_link) = (utf16!(r"\Device\Echo"), utf16!(r"\DosDevices\Echo"));
    let alive = StdArc::new(());
    let create = |name, link, sddl| {
        let config = ControlDeviceConfig { name, link, sddl };
        ControlDevice::create(driver, passive, config, Other(StdArc::clone(&alive)))
    };
    check!(
        create(taken_name, link, sddl).err(),
        Some(NtStatus::OBJECT_NAME_COLLISION)
    );
    check!(
        create(name, taken_link, sddl).err(),
        Some(NtStatus::OBJECT_NAME_COLLISION)
    );
    check!(create(name, link, utf16!("nonsense")).is_err(), true);
    check!(StdArc::strong_count(&alive), 1);
    let device = create(name, link, sddl).map_err(failed(line!()))?;
    check!(
        device.get().map(|other| StdArc::ptr_eq(&other.0, &alive)),
        Some(true)
    );
    device.finish_initializing(passive);
    device.delete(passive);
    check!(StdArc::strong_count(&alive), 1);
    Ok(())
}
