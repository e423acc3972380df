//! Closing the system calls that a server of lists never makes: seccomp(2), for where no service manager does it.
//!
//! What is closed are the ways from one broken process to the rest of the machine: other programs, other processes,
//! mounts, namespaces, kernel modules, clocks. They fail with EPERM, as if a privilege were missing. Invariant: nothing
//! that serving needs is on the list, whatever library does it; the filter holds for all threads, and for good.
//!
//! It is no list of what is allowed: which calls a C library makes changes with its version, and a server that dies of a
//! new one is no gain. The units in `packaging` have such a list, as systemd keeps it up to date.

use std::collections::BTreeMap;

use rustix::thread::{SecureComputingMode, secure_computing_mode};
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

/// Why the filter is not in place.
#[derive(Debug, thiserror::Error)]
#[error("seccomp: {0}")]
pub struct SeccompError(String);

/// Closes the calls in all threads; whether it did. It does not on a processor that there is no filter for, nor where the
/// filter of a service manager, which has a list of what is allowed, lets no other be added to it.
///
/// # Errors
///
/// The kernel refuses.
pub fn close_system_calls() -> Result<bool, SeccompError> {
    let Ok(architecture) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(false) };
    let closed = closed().map_err(|why| SeccompError(why.to_string()))?;
    // clone3(2) has its flags in memory, where a filter cannot look; told that it is not there, libraries call clone(2).
    // A filter has one errno, hence two
    let was_filtered = is_filtered();
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    for (rules, error) in [(unknown, libc::ENOSYS), (closed, libc::EPERM)] {
        let program = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(error as u32), architecture)
            .and_then(BpfProgram::try_from)
            .map_err(|why| SeccompError(why.to_string()))?;
        match apply_filter_all_threads(&program) {
            Ok(()) => {}
            Err(Error::Seccomp(why)) if why.raw_os_error() == Some(libc::EPERM) && was_filtered => return Ok(false),
            Err(why) => return Err(SeccompError(why.to_string())),
        }
    }
    Ok(true)
}

/// What is closed: calls whatever their arguments, and new namespaces for a process that is started.
fn closed() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let of_namespace = |&flag: &libc::c_int| {
        let flag = flag as u64;
        let is_set = SeccompCmpOp::MaskedEq(flag);
        SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Qword, is_set, flag)?])
    };
    let mut rules: BTreeMap<_, _> = CLOSED.iter().map(|&call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_clone, NAMESPACES.iter().map(of_namespace).collect::<Result<_, _>>()?);
    Ok(rules)
}

/// Whether a filter is in place.
fn is_filtered() -> bool {
    secure_computing_mode().is_ok_and(|mode| mode == SecureComputingMode::Filter)
}

/// The calls that are closed.
const CLOSED: &[libc::c_long] = &[
    // other programs and processes
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // other views of the file system
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_fsmount,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    libc::SYS_mknodat,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    // the kernel
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_personality,
    // the machine
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
];

/// The flags by which clone(2) makes a namespace; for one of users no privilege is needed.
const NAMESPACES: &[libc::c_int] = &[
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWCGROUP,
];

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::process::Command;

    use super::*;

    /// The filter is the whole process's and stays, so that a process of its own takes it.
    #[test]
    fn a_closed_process_starts_no_other_and_still_has_files_threads_and_sockets() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server::seccomp::tests::closed_child", "--ignored", "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
    }

    #[test]
    #[ignore = "the other half of the test above"]
    fn closed_child() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        assert!(close_system_calls().unwrap());
        let refused = Command::new("/bin/true").status().unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "text").unwrap();
        let socket = std::thread::spawn(|| UdpSocket::bind("127.0.0.1:0").unwrap()).join().unwrap();
        assert!(socket.local_addr().unwrap().port() > 0);
    }

    const CHILD: &str = "INFAMY_TEST_SECCOMP_CHILD";
}
