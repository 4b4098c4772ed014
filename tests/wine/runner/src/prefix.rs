//! A Wine prefix: the disk and registry of a small Windows.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The images that are put where drivers are.
const DRIVERS: [&str; 6] = [
    "nsemail_provider.sys",
    "nsemail_client.sys",
    "netio.sys",
    "wdfldr.sys",
    "ntcompat.sys",
    "probe.sys",
];
/// The programs.
const PROGRAMS: [&str; 2] = ["nsemail.exe", "nsemail-agent.exe"];
/// What Wine is to say: what goes wrong in it, and what the drivers print.
const CHANNELS: &str = "-all,err+all,+debugstr";
/// `netio.sys` is ours; what asks for .NET and for HTML is not wanted.
const OVERRIDES: &str = "netio.sys=n;mscoree=;mshtml=";
/// How long Wine may take to make a prefix.
const MAKING: Duration = Duration::from_mins(10);
/// How long the server may take to end.
const ENDING: Duration = Duration::from_mins(1);

/// A prefix, and the log of all that runs in it.
pub struct Prefix {
    root: PathBuf,
    log: PathBuf,
    wine: PathBuf,
}

impl Prefix {
    /// Makes a new prefix at `root`, in place of one that may be there.
    pub fn make(root: &Path, log: &Path, images: &Path) -> Result<Self, String> {
        let wine = ["/usr/lib/wine/wine64", "/usr/bin/wine64", "/usr/bin/wine"]
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .ok_or("Wine is not installed: apt-get install --no-install-recommends wine wine64 libwine")?;
        let prefix = Self {
            root: root.to_owned(),
            log: log.to_owned(),
            wine,
        };
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| format!("{what}: {error}")
        };
        if root.exists() {
            prefix.end_all();
            fs::remove_dir_all(root).map_err(failed("the old prefix cannot be removed"))?;
        }
        fs::create_dir_all(root).map_err(failed("the prefix cannot be made"))?;
        File::create(log).map_err(failed("the log cannot be made"))?;
        let mut boot = prefix.command(Path::new("wineboot"));
        boot.arg("-i").stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = boot.spawn().map_err(failed("wineboot cannot be started"))?;
        let status = wait(&mut child, MAKING).map_err(failed("wineboot"))?;
        if !status.success() {
            return Err(format!("wineboot: {status}; see {}", log.display()));
        }
        let system = prefix.disk().join("windows/system32");
        let copies = DRIVERS
            .iter()
            .map(|file| (file, system.join("drivers")))
            .chain(PROGRAMS.iter().map(|file| (file, system.clone())));
        for (file, folder) in copies {
            let from = images.join(file);
            fs::copy(&from, folder.join(file)).map_err(failed(&from.display().to_string()))?;
        }
        // What was started by that has to be gone before the first program comes.
        prefix.end_all();
        fs::create_dir_all(prefix.test_folder()).map_err(failed("the folder for holds"))?;
        Ok(prefix)
    }

    /// Drive C.
    pub fn disk(&self) -> PathBuf {
        self.root.join("drive_c")
    }

    /// Where drivers have their files.
    pub fn driver_data(&self) -> PathBuf {
        self.disk().join("windows/system32/drivers/DriverData")
    }

    /// Where the stand-in kernel looks for what a test wants of it.
    pub fn test_folder(&self) -> PathBuf {
        self.disk().join("nsemail-test")
    }

    /// Everything that was printed so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("WINEPREFIX", &self.root)
            .env("WINEARCH", "win64")
            .env("WINEDLLOVERRIDES", OVERRIDES)
            .env("WINEDEBUG", CHANNELS)
            .env_remove("DISPLAY");
        match OpenOptions::new().append(true).open(&self.log) {
            Ok(log) => command.stderr(log),
            Err(_) => command.stderr(Stdio::null()),
        };
        command
    }

    /// A program of the prefix, by its Windows path, to be run.
    pub fn program(&self, path: &str) -> Command {
        let mut command = self.command(&self.wine);
        command.arg(path);
        command
    }

    /// Ends all processes of the prefix at once, as a power failure would.
    pub fn end_all(&self) {
        for argument in ["-k", "-w"] {
            let mut server = self.command(Path::new("wineserver"));
            server.arg(argument).stdin(Stdio::null()).stdout(Stdio::null());
            // With -k, a server that does not run is an error, and just as good.
            if let Ok(mut child) = server.spawn() {
                let _ = wait(&mut child, ENDING);
            }
        }
    }
}

impl Prefix {
    /// The processes of the prefix that still run, as `number name`. There are none after
    /// [`end_all`](Self::end_all), unless it failed.
    pub fn processes(&self) -> Vec<String> {
        let mine = [b"WINEPREFIX=", self.root.as_os_str().as_bytes()].concat();
        let Ok(processes) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        processes
            .flatten()
            .filter(|process| {
                // Nothing can be read of those of others, nor of one that has ended and waits for its parent.
                let environment = fs::read(process.path().join("environ")).unwrap_or_default();
                environment
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == mine)
            })
            .map(|process| {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                format!("{} {}", process.file_name().to_string_lossy(), name.trim())
            })
            .collect()
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        self.end_all();
    }
}

/// Waits for a child; one that takes too long is killed.
pub fn wait(child: &mut Child, patience: Duration) -> io::Result<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() > patience {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(5));
    }
}
