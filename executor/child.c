/*
 * The child and the channel to it, a pair of SOCK_SEQPACKET sockets made just before the clone:
 *
 *     parent                                   child
 *       | (writes uid_map, its record, ...)      |  await-parent: blocks in recv
 *       | -- one byte ------------------------>  |  released
 *       | <-- READY ---------------------------- |  await-start: then blocks until the fifo is written or closed
 *       | <-- FAILED index errno --------------- |  any op failed; it exits
 *       | <-- EXECUTING ------------------------ |  next is execve()
 *       | <-- end of file ---------------------- |  after EXECUTING: exec has closed the socket; else it died
 */
#include "executor.h"

#include <asm/poll.h>
#include <linux/prctl.h>

enum message_kind { MESSAGE_READY = 1, MESSAGE_EXECUTING = 2, MESSAGE_FAILED = 3 };

struct message {
	uint32_t kind;
	uint32_t index;
	uint32_t error;
};

/* Tells the parent; -EPIPE when it is gone. */
static int tell_parent(uint32_t kind, uint32_t error)
{
	struct message message = { .kind = kind, .index = self.index, .error = error };
	int result = SYS(sendto, self.sync, &message, sizeof(message), MSG_NOSIGNAL, NULL, 0);

	return result < 0 ? result : 0;
}

/* Called right before execve(). A parent that went away before it heard that all is ready was killed: nobody would own us. */
int tell_parent_executing(void)
{
	int result;

	if (!self.is_child)
		return 0;
	result = tell_parent(MESSAGE_EXECUTING, 0);
	return self.told_ready ? 0 : result;
}

/* Receives one message: its kind, 0 at the end of file, -errno (-EAGAIN with MSG_DONTWAIT when there is none). */
static int hear_child(struct message *message, int flags)
{
	int size = SYS(recvfrom, self.sync, message, sizeof(*message), flags, NULL, NULL);

	if (size <= 0)
		return size;
	return (size_t)size == sizeof(*message) ? (int)message->kind : -EPROTO;
}

/* Takes over what a child said last: the failure is then its op's, not that of the op which waits. */
static int adopt_failure(const struct message *message)
{
	self.index = message->index;
	return -(int)message->error;
}

/* Looks, without waiting, whether the child has failed; sets `*error` and the current index to its. */
bool find_child_failure(int *error)
{
	struct message message;
	int kind;

	if (self.sync < 0)
		return false;
	do
		kind = hear_child(&message, MSG_DONTWAIT);
	while (kind == MESSAGE_READY || kind == MESSAGE_EXECUTING);
	if (kind != MESSAGE_FAILED)
		return false;
	*error = adopt_failure(&message);
	return true;
}

/* Kills and reaps the child when there is one. */
void kill_child(void)
{
	if (self.pid == 0)
		return;
	SYS(pidfd_send_signal, self.pidfd, SIGKILL, NULL, 0);
	SYS(wait4, self.pid, &self.status, 0, NULL);
	self.has_status = true;
	self.pid = 0;
}

/* The child's life: runs its section and ends. Everything that is the parent's alone is closed first. */
static void NORETURN run_child(uint32_t section, int sync)
{
	int result;

	self.is_child = true;
	close_fd(&self.sync);
	self.sync = sync;
	close_fd(&self.control);
	close_fd(&self.lock);
	self.pidfd = -1;
	self.pid = 0;
	close_relays_in_child();
	result = run_section(section, false);
	if (result < 0)
		tell_parent(MESSAGE_FAILED, (uint32_t)-result);
	quit(result < 0 ? EXIT_FAILED : 0);
}

int op_clone(const struct op_clone *op)
{
	int pair[2];
	int pidfd = -1;
	struct clone_args args = {
		.flags = op->flags | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	bool new_user = (op->flags & CLONE_NEWUSER) != 0;
	int cgroup OWNED = -1;
	int result;

	if (self.pid != 0)
		return -EBUSY;
	if ((op->flags & (CLONE_VM | CLONE_THREAD | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | CLONE_PARENT)) != 0)
		return -EINVAL;
	if (op->cgroup[0] != '\0') {
		cgroup = SYS(openat, AT_FDCWD, op->cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		TRY(cgroup);
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint32_t)cgroup;
	}
	TRY(SYS(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	close_fd(&self.sync);
	close_fd(&self.pidfd);
	self.sync = pair[0];
	/* The child's uid_map would belong to root, not to us, if it were not dumpable from its start to `await-parent`. */
	if (new_user)
		SYS(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	result = SYS(clone3, &args, sizeof(args));
	if (result == 0) {
		close_fd(&cgroup);
		run_child(op->section, pair[1]);
	}
	if (new_user)
		SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	SYS(close, pair[1]);
	TRY(result);
	self.pid = result;
	self.pidfd = pidfd;
	self.has_status = false;
	/* The child alone holds it, so that a fifo without a reader means a container that is not waiting. */
	close_fd(&self.start);
	/* A mount that we keep open would be busy in the container. */
	forget_slots();
	return return_stdio_after_clone();
}

int op_release_child(const struct op_release_child *op UNUSED)
{
	int result = SYS(sendto, self.sync, "", 1, MSG_NOSIGNAL, NULL, 0);

	/* A closed channel is a dead child; what it died of is found by whoever reports this failure. */
	return result == -EPIPE ? -ESRCH : result < 0 ? result : 0;
}

int op_await_parent(const struct op_await_parent *op UNUSED)
{
	char byte;

	if (SYS(recvfrom, self.sync, &byte, 1, 0, NULL, NULL) != 1)
		quit(EXIT_FAILED);
	SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	return 0;
}

int op_await_exec(const struct op_await_exec *op UNUSED)
{
	struct message message;
	bool executing = false;
	int kind;

	while ((kind = hear_child(&message, 0)) > 0) {
		if (kind == MESSAGE_FAILED)
			return adopt_failure(&message);
		executing = kind == MESSAGE_EXECUTING;
	}
	TRY(kind);
	if (!executing)
		return -ESRCH;
	report(REPORT_STARTED, self.index, (uint32_t)self.pid);
	return 0;
}

int op_await_ready(const struct op_await_ready *op UNUSED)
{
	struct message message;
	int kind = hear_child(&message, 0);

	TRY(kind);
	if (kind == MESSAGE_FAILED)
		return adopt_failure(&message);
	if (kind != MESSAGE_READY)
		return kind == 0 ? -ESRCH : -EPROTO;
	report(REPORT_CREATED, self.index, (uint32_t)self.pid);
	return 0;
}

/*
 * Opens the read end without waiting for a writer, so that no path is needed after the pivot. As long as it is open
 * O_WRONLY | O_NONBLOCK succeeds for whoever starts the container, and fails with ENXIO when nothing waits.
 */
int op_open_start(const struct op_open_start *op)
{
	struct statx found;
	int fd OWNED = SYS(openat, AT_FDCWD, op->path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0);

	TRY(fd);
	TRY(SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &found));
	if ((found.stx_mode & S_IFMT) != S_IFIFO)
		return -EINVAL;
	close_fd(&self.start);
	self.start = fd;
	fd = -1;
	return 0;
}

int op_await_start(const struct op_await_start *op)
{
	struct op_open_start open = { .path = op->path };
	struct pollfd poll = { .events = POLLIN };

	if (self.start < 0)
		TRY(op_open_start(&open));
	/* The parent may go as soon as it has heard this; it matters no more. */
	self.told_ready = true;
	tell_parent(MESSAGE_READY, 0);
	poll.fd = self.start;
	/* KERNEL: POLLHUP comes only after a first writer has been there and closed. */
	TRY(SYS(ppoll, &poll, 1, NULL, NULL, 0));
	close_fd(&self.start);
	return 0;
}
