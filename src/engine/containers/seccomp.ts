/**
 * The system calls that a container of `gantry run` may make, unless it is told otherwise: Docker's default profile.
 *
 * Facts from moby's profiles/seccomp/default.json (version of 2026): what is allowed always, with which capability, and with which
 * arguments. Everything else fails with EPERM, as under Docker, for which images are tested.
 */
import type { SeccompConfig, SeccompSyscall } from "#spec/seccomp.ts";

const always = `
_llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime
clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close
close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait
epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex
futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents
getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp
getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname
getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill
landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount
listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create
memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync
munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe
pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease
process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat
readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2
restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send
sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid
setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32
setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt
shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64
statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat
utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev`;

/** Allowed too when the capability is in the bounding set. */
const byCapability: readonly (readonly [capability: string, names: string])[] = [
  ["CAP_BPF", "bpf"],
  ["CAP_DAC_READ_SEARCH", "open_by_handle_at"],
  ["CAP_PERFMON", "perf_event_open"],
  ["CAP_SYSLOG", "syslog"],
  [
    "CAP_SYS_ADMIN",
    "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
  ],
  ["CAP_SYS_BOOT", "reboot"],
  ["CAP_SYS_CHROOT", "chroot"],
  ["CAP_SYS_MODULE", "delete_module init_module finit_module"],
  ["CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"],
  ["CAP_SYS_PACCT", "acct"],
  ["CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"],
  ["CAP_SYS_RAWIO", "iopl ioperm"],
  ["CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"],
  ["CAP_SYS_TTY_CONFIG", "vhangup"],
];

/** Allowed too on machines of this kind (Node's word), with the architectures that their programs may be of. */
const byMachine = {
  x64: {
    architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    names: "arch_prctl modify_ldt",
  },
  arm64: {
    architectures: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    names: "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
  },
} as const;

/** CLONE_NEW* but for the time namespace: a clone() without CAP_SYS_ADMIN may have none of them. @see linux/sched.h */
const namespaceFlags = 0x7e02_0000;
/** Address families of socket(): 38 is AF_ALG and 40 AF_VSOCK, which reach what no namespace separates. @see linux/socket.h */
const [cryptoFamily, hypervisorFamily] = [38, 40] as const;
/** Linux as it is, PER_LINUX32, either with UNAME26, and the question. @see personality(2) */
const harmlessPersonalities = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/** ENOSYS makes libc fall back to clone(), whose flags a filter can see. */
const noSuchCall = 38;

/** The profile for a process with these capabilities in its bounding set, on a machine of this kind; undefined for kinds without filters. */
export function defaultSeccompProfile(machine: string, bounding: readonly string[]): SeccompConfig | undefined {
  if (machine !== "x64" && machine !== "arm64") return undefined;
  const { architectures, names } = byMachine[machine];
  const isAdministrator = bounding.includes("CAP_SYS_ADMIN");
  const granted = byCapability.filter(([capability]) => bounding.includes(capability)).map(([, more]) => more);
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    architectures,
    syscalls: [
      allow([always, names, ...granted].join(" ")),
      allow("socket", { index: 0, value: cryptoFamily, op: "SCMP_CMP_LT" }),
      allow("socket", { index: 0, value: cryptoFamily + 1, op: "SCMP_CMP_EQ" }),
      allow("socket", { index: 0, value: hypervisorFamily, op: "SCMP_CMP_GT" }),
      ...harmlessPersonalities.map((value) => allow("personality", { index: 0, value, op: "SCMP_CMP_EQ" })),
      ...(isAdministrator ? [] : limitedClones),
    ],
  };
}

const limitedClones: readonly SeccompSyscall[] = [
  allow("clone", { index: 0, value: namespaceFlags, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }),
  { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: noSuchCall },
];

function allow(names: string, ...args: NonNullable<SeccompSyscall["args"]>): SeccompSyscall {
  return { names: names.trim().split(/\s+/), action: "SCMP_ACT_ALLOW", ...(args.length === 0 ? {} : { args }) };
}
