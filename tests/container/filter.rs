//! A filter of system calls, as container engines install one: a program of the kernel's packet filter, made here.

/// System calls that container engines refuse, by number on this machine.
#[cfg(target_arch = "x86_64")]
pub(super) const KEYS_AND_LOCKS: &[u32] = &[
    248, // add_key
    249, // request_key
    250, // keyctl
    149, // mlock
    151, // mlockall
    325, // mlock2
    447, // memfd_secret
];
#[cfg(target_arch = "aarch64")]
pub(super) const KEYS_AND_LOCKS: &[u32] = &[217, 218, 219, 228, 230, 284, 447];

/// Files without names, which the above leave allowed.
#[cfg(target_arch = "x86_64")]
pub(super) const MEMFD_CREATE: u32 = 319;
#[cfg(target_arch = "aarch64")]
pub(super) const MEMFD_CREATE: u32 = 279;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// The bytes of a filter that refuses these calls with EPERM and lets all others pass.
pub(super) fn refusing(calls: &[u32]) -> Vec<u8> {
    // linux/filter.h and linux/seccomp.h: struct sock_filter is a code, two jumps and an operand.
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const KILL: u32 = 0x8000_0000;
    const REFUSE: u32 = 0x0005_0000 | 1;
    const ALLOW: u32 = 0x7fff_0000;
    let mut program = Vec::new();
    let mut add = |code: u16, yes: u8, no: u8, operand: u32| {
        program.extend(code.to_ne_bytes());
        program.extend([yes, no]);
        program.extend(operand.to_ne_bytes());
    };
    add(LOAD, 0, 0, 4);
    add(EQUAL, 1, 0, ARCHITECTURE);
    add(RETURN, 0, 0, KILL);
    add(LOAD, 0, 0, 0);
    for call in calls {
        add(EQUAL, 0, 1, *call);
        add(RETURN, 0, 0, REFUSE);
    }
    add(RETURN, 0, 0, ALLOW);
    program
}
