//! Who may do what.

use nsemail::transport::Device;
use nsemail_contract::{Operation, SetFlags, WsaCode, ioctl, wire::SetReply};

use crate::{
    kernel::{Access, Kernel, Who, Win32},
    program::{change, name},
};

/// Everyone may look up; only the system and administrators may register. It is the handle that decides,
/// not only the right to open it.
pub fn a_user_looks_up_and_does_not_register(kernel: &dyn Kernel) {
    kernel.start_both();
    let admin = kernel.administrator();
    admin.register("xavier@example.com", &["192.0.2.7:25"]).unwrap();
    let stored = kernel.stored();

    let program = kernel.program(Who::User);
    assert_eq!(
        program.try_open(Access::ReadWrite).err(),
        Some(Win32::ACCESS_DENIED)
    );
    let overwrite = change(
        Operation::Register,
        SetFlags::empty(),
        &name("xavier@example.com", &["192.0.2.66:66"]),
    );
    for who in [Who::User, Who::Administrator] {
        let session = kernel.program(who).open();
        assert_eq!(
            session.look_up("xavier@example.com").unwrap(),
            ["192.0.2.7:25/tcp"]
        );
        let answer = session
            .handle()
            .call(ioctl::SET_SERVICE, &overwrite, SetReply::SIZE);
        assert_eq!((answer.result, answer.returned), (Err(Win32::ACCESS_DENIED), 0));
    }
    assert_eq!(kernel.stored(), stored);
}

/// The system may register as well as administrators.
pub fn the_system_and_administrators_register(kernel: &dyn Kernel) {
    kernel.start_both();
    for who in [Who::System, Who::Administrator] {
        let session = kernel.program(who).open_to_write();
        session.register("yves@example.com", &["192.0.2.7:25"]).unwrap();
        session.delete("yves@example.com").unwrap();
        assert_eq!(
            session.look_up("yves@example.com"),
            Err(WsaCode::WSASERVICE_NOT_FOUND)
        );
    }
}

/// The provider's own device is for the system and for administrators.
pub fn only_administrators_open_the_providers_device(kernel: &dyn Kernel) {
    kernel.start_both();
    for access in [Access::Read, Access::ReadWrite] {
        let open = |who| kernel.process(who).open(Device::Provider, access).err();
        assert_eq!(open(Who::User), Some(Win32::ACCESS_DENIED));
        assert_eq!(open(Who::Administrator), None);
        assert_eq!(open(Who::System), None);
    }
}
