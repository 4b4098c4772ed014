//! Finding the drivers: those of this Windows, or of a simulated machine.

use directories::ProjectDirs;
use nsemail::transport::{Device, EmbeddedSystem, System};
use nsemail::{AdminClient, Client, Error, Transport, TransportError};
use nsemail_embedded::{BootError, Options};
use nt_sim::io::Identity;

use crate::cli::{Global, Who};

/// A system with the drivers, for one run.
pub struct Connection {
    system: Box<dyn System>,
}

impl Connection {
    /// Connects as the command line says.
    pub fn open(global: &Global) -> Result<Self, Error> {
        #[cfg(windows)]
        if global.embedded.is_none() {
            return Ok(Self {
                system: Box::new(nsemail::transport::windows::Windows),
            });
        }
        let folder = match &global.embedded {
            Some(folder) => folder.clone(),
            None => ProjectDirs::from("", "", "nsemail")
                .map(|folders| {
                    folders
                        .state_dir()
                        .unwrap_or_else(|| folders.data_local_dir())
                        .to_owned()
                })
                .ok_or_else(|| Error::Usage("there is no home folder; use --embedded DIR".to_owned()))?,
        };
        let options = Options::new().state_dir(folder).verifier(global.verifier);
        let identity = match global.identity {
            Who::System => Identity::System,
            Who::Administrator => Identity::Administrator,
            Who::User => Identity::User,
        };
        let system = EmbeddedSystem::boot(options, identity).map_err(boot_error)?;
        Ok(Self {
            system: Box::new(system),
        })
    }

    /// A session with the client driver.
    pub fn client(&self, write: bool) -> Result<Client<Box<dyn Transport>>, Error> {
        Ok(Client::new(self.system.open(Device::Client, write)?))
    }

    /// A session with the provider driver.
    pub fn admin(&self) -> Result<AdminClient<Box<dyn Transport>>, Error> {
        self.administrator(false)
    }

    /// A session with the provider driver, to change something if `write`.
    pub fn administrator(&self, write: bool) -> Result<AdminClient<Box<dyn Transport>>, Error> {
        Ok(AdminClient::new(self.system.open(Device::Provider, write)?))
    }

    /// Ends the connection.
    pub fn close(self) -> Result<(), Error> {
        self.system.close().map_err(Error::RulesBroken)
    }
}

pub fn boot_error(error: BootError) -> Error {
    match error {
        BootError::State(folder, error) => Error::File {
            path: format!("the state folder {}", folder.display()),
            error,
        },
        BootError::Start(..) => Error::Transport(TransportError::NotRunning(error.to_string())),
        BootError::InUse(_) | BootError::Install(_) => {
            Error::Transport(TransportError::Other(error.to_string()))
        }
    }
}
