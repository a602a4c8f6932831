/* What a process is: ids, capabilities, limits, names, filters, and in the end another program. */
#include "executor.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>

#define SIGNAL_COUNT 64
#define CAPABILITY_COUNT 64

/* <linux/if.h> would bring the C library's socket headers. */
#define INTERFACE_NAME_BYTES 16
#define INTERFACE_UP 1
struct interface_request {
	char name[INTERFACE_NAME_BYTES];
	int16_t flags;
	char rest[22];
};

int op_setsid(const struct op_setsid *op UNUSED)
{
	TRY(SYS(setsid));
	return 0;
}

int op_new_session(const struct op_new_session *op UNUSED)
{
	TRY(SYS(setsid));
	return 0;
}

int op_unshare(const struct op_unshare *op)
{
	return SYS(unshare, op->flags);
}

int op_setns(const struct op_setns *op)
{
	int fd OWNED = SYS(openat, AT_FDCWD, op->path, O_RDONLY | O_CLOEXEC, 0);

	TRY(fd);
	return SYS(setns, fd, op->flags);
}

int op_hostname(const struct op_hostname *op)
{
	return SYS(sethostname, op->name, strlen(op->name));
}

int op_domainname(const struct op_domainname *op)
{
	return SYS(setdomainname, op->name, strlen(op->name));
}

int op_link_up(const struct op_link_up *op)
{
	struct interface_request request;
	size_t size = strlen(op->name);

	if (size >= sizeof(request.name))
		return -ENODEV;
	memset(&request, 0, sizeof(request));
	memcpy(request.name, op->name, size);
	int fd OWNED = SYS(socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	TRY(fd);
	TRY(SYS(ioctl, fd, SIOCGIFFLAGS, &request));
	request.flags = (int16_t)(request.flags | INTERFACE_UP);
	return SYS(ioctl, fd, SIOCSIFFLAGS, &request);
}

int op_rlimit(const struct op_rlimit *op)
{
	struct rlimit64 limit = { .rlim_cur = op->soft, .rlim_max = op->hard };

	return SYS(prlimit64, 0, op->resource, &limit, NULL);
}

int op_groups(const struct op_groups *op)
{
	if (op->gids.length % sizeof(uint32_t) != 0)
		return -EINVAL;
	return SYS(setgroups, op->gids.length / sizeof(uint32_t), op->gids.bytes);
}

/* KERNEL: a change of ids sets the dumpable flag to fs.suid_dumpable, which need not be 0. */
static int hide_again(int result)
{
	SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	return result;
}

int op_gid(const struct op_gid *op)
{
	return hide_again(SYS(setresgid, op->gid, op->gid, op->gid));
}

int op_uid(const struct op_uid *op)
{
	return hide_again(SYS(setresuid, op->uid, op->uid, op->uid));
}

int op_keep_capabilities(const struct op_keep_capabilities *op UNUSED)
{
	return SYS(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
}

int op_bounding(const struct op_bounding *op)
{
	for (uint32_t i = 0; i < CAPABILITY_COUNT; i++) {
		int result = 0;

		if ((op->keep >> i & 1) == 0)
			result = SYS(prctl, PR_CAPBSET_DROP, i, 0, 0, 0);
		/* The first number that this kernel has no capability for. */
		if (result == -EINVAL)
			return 0;
		if (result < 0)
			return result;
	}
	return 0;
}

int op_capabilities(const struct op_capabilities *op)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	for (uint32_t i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(op->effective >> (32 * i));
		data[i].permitted = (uint32_t)(op->permitted >> (32 * i));
		data[i].inheritable = (uint32_t)(op->inheritable >> (32 * i));
	}
	return SYS(capset, &header, data);
}

int op_ambient(const struct op_ambient *op)
{
	int result = SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);

	for (uint32_t i = 0; i < CAPABILITY_COUNT && result == 0; i++)
		if ((op->mask >> i & 1) != 0)
			result = SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0);
	return result;
}

int op_no_new_privileges(const struct op_no_new_privileges *op UNUSED)
{
	return SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int op_umask(const struct op_umask *op)
{
	/* It takes effect with exec; until then ours stays 0. */
	self.umask = op->mask & 0777;
	return 0;
}

int op_working_directory(const struct op_working_directory *op)
{
	char name[PATH_BYTES];
	int fd OWNED = open_path(op->path, O_PATH | O_DIRECTORY);

	TRY(fd);
	TRY(SYS(fchdir, fd));
	TRY(SYS(getcwd, name, sizeof(name)));
	/* SECURITY: a directory outside of the root is named "(unreachable)..." (CVE-2024-21626). */
	return name[0] == '/' ? 0 : -ENOENT;
}

int op_seccomp(const struct op_seccomp *op)
{
	struct sock_fprog program = { .filter = (struct sock_filter *)(uintptr_t)op->filter.bytes };
	uint32_t count = op->filter.length / (uint32_t)sizeof(struct sock_filter);

	if (op->filter.length % sizeof(struct sock_filter) != 0 || count > BPF_MAXINSNS)
		return -EINVAL;
	program.len = (uint16_t)count;
	/* With SECCOMP_FILTER_FLAG_TSYNC it is the thread that could not follow; there is but one. */
	TRY(SYS(seccomp, SECCOMP_SET_MODE_FILTER, op->flags, &program));
	return 0;
}

/* Puts every signal back to its default, those that were ignored when we started too, and unblocks all. */
void reset_signals(void)
{
	static const uint64_t defaults[4];
	static const uint64_t none;

	for (int signal = 1; signal <= SIGNAL_COUNT; signal++)
		SYS(rt_sigaction, signal, defaults, NULL, sizeof(none));
	SYS(rt_sigprocmask, 2, &none, NULL, sizeof(none));
}

/* Whether execve() would take `path`, as far as that can be told without doing it. */
static int check_executable(const char *path)
{
	struct statx found;

	TRY(SYS(statx, AT_FDCWD, path, 0, STATX_TYPE, &found));
	if ((found.stx_mode & S_IFMT) != S_IFREG)
		return -EACCES;
	return SYS(faccessat2, AT_FDCWD, path, 1 /* X_OK */, AT_EACCESS);
}

int op_check_executable(const struct op_check_executable *op)
{
	int result = -ENOENT;
	bool denied = false;

	for (char **path = op->candidates; *path != NULL; path++) {
		result = check_executable(*path);
		denied = denied || result == -EACCES;
		if (result != -ENOENT && result != -ENOTDIR && result != -EACCES)
			return result;
	}
	return denied ? -EACCES : result;
}

int op_exec(const struct op_exec *op)
{
	int result = -ENOENT;
	bool denied = false;

	TRY(SYS(close_range, 3 + self.passed, ~0u, CLOSE_RANGE_CLOEXEC));
	SYS(umask, self.umask);
	if (tell_parent_executing() < 0)
		quit(EXIT_FAILED);
	reset_signals();
	for (char **path = op->candidates; *path != NULL; path++) {
		result = SYS(execve, *path, op->argv, op->env);
		denied = denied || result == -EACCES;
		if (result != -ENOENT && result != -ENOTDIR && result != -EACCES)
			return result;
	}
	return denied ? -EACCES : result;
}
