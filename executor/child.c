/*
 * The child and the channel to it, a pair of SOCK_SEQPACKET sockets made just before the clone:
 *
 *     parent                                   child
 *       | (writes uid_map, its record, ...)      |  await-parent: blocks in recv
 *       | -- its pid, as we see it ---------->   |  released
 *       | <-- REACHED ------------------------- |  reach: the parent waits for it in await-child (perhaps to run hooks)
 *       | <-- READY ---------------------------- |  await-start: then blocks until the fifo is written or closed
 *       | <-- TERMINAL and the master ---------- |  terminal: in the foreground, the parent relays it
 *       | <-- CHANNEL and a socket ------------- |  pass-channel: the other end is the executed program's
 *       | <-- FAILED index errno --------------- |  any op failed; it exits
 *       | <-- EXECUTING ------------------------ |  next is execve()
 *       | <-- end of file ---------------------- |  after EXECUTING: exec has closed the socket; else it died
 */
#include "executor.h"

#include <asm/poll.h>
#include <linux/prctl.h>
#include <linux/signalfd.h>

enum message_kind {
	MESSAGE_READY = 1,
	MESSAGE_EXECUTING = 2,
	MESSAGE_FAILED = 3,
	MESSAGE_REACHED = 4,
	MESSAGE_TERMINAL = 5,
	MESSAGE_CHANNEL = 6,
};

struct message {
	uint32_t kind;
	uint32_t index;
	uint32_t error;
};

/* Tells the parent; -EPIPE when it is gone. */
static int tell_parent(uint32_t kind, uint32_t error)
{
	struct message message = { .kind = kind, .index = self.index, .error = error };

	return send_message(self.sync, &message, sizeof(message), -1);
}

/* Gives the parent the master of this process's terminal. */
int hand_parent_terminal(int master)
{
	struct message message = { .kind = MESSAGE_TERMINAL, .index = self.index };

	return send_message(self.sync, &message, sizeof(message), master);
}

/* Gives the parent its end of the channel to the program that this process becomes. */
int hand_parent_channel(int channel)
{
	struct message message = { .kind = MESSAGE_CHANNEL, .index = self.index };

	return send_message(self.sync, &message, sizeof(message), channel);
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

/*
 * Receives one message: its kind, 0 at the end of file, -errno (-EAGAIN with MSG_DONTWAIT when there is none).
 * A terminal or a channel is taken over, and the next message is the one returned.
 */
static int hear_child(struct message *message, uint32_t flags)
{
	for (;;) {
		int fd OWNED = -1;
		int size = receive_message(self.sync, message, sizeof(*message), flags, &fd);

		if (size <= 0)
			return size;
		if ((size_t)size != sizeof(*message))
			return -EPROTO;
		if (message->kind != MESSAGE_TERMINAL && message->kind != MESSAGE_CHANNEL)
			return (int)message->kind;
		if (message->kind == MESSAGE_TERMINAL)
			TRY(relay_terminal(fd));
		*(message->kind == MESSAGE_TERMINAL ? &self.terminal : &self.channel) = fd;
		fd = -1;
	}
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
	while (kind == MESSAGE_READY || kind == MESSAGE_EXECUTING || kind == MESSAGE_REACHED);
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

/* Tells the parent of a failure, or, when it has gone since all was ready, whoever starts the container. */
static void tell_failure(uint32_t error)
{
	uint32_t failure[2] = { self.index, error };

	tell_parent(MESSAGE_FAILED, error);
	if (self.told_ready && self.failure >= 0)
		SYS(write, self.failure, failure, sizeof(failure));
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
	close_fd(&self.terminal);
	close_relays_in_child();
	result = run_section(section, false);
	if (result < 0)
		tell_failure((uint32_t)-result);
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
	close_fd(&self.console);
	close_passed_in_parent();
	close_fd(&self.listener);
	/* A mount that we keep open would be busy in the container. */
	forget_slots();
	return return_stdio_after_clone();
}

int op_release_child(const struct op_release_child *op UNUSED)
{
	int result = SYS(sendto, self.sync, &self.pid, sizeof(self.pid), MSG_NOSIGNAL, NULL, 0);

	/* A closed channel is a dead child; what it died of is found by whoever reports this failure. */
	return result == -EPIPE ? -ESRCH : result < 0 ? result : 0;
}

int op_await_parent(const struct op_await_parent *op UNUSED)
{
	const int size = sizeof(self.pid_outside);

	if (SYS(recvfrom, self.sync, &self.pid_outside, size, 0, NULL, NULL) != size)
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

/* Waits for a message of `kind`; a failure in the child becomes ours. */
static int await_message(enum message_kind wanted)
{
	struct message message;
	int kind = hear_child(&message, 0);

	TRY(kind);
	if (kind == MESSAGE_FAILED)
		return adopt_failure(&message);
	if (kind != (int)wanted)
		return kind == 0 ? -ESRCH : -EPROTO;
	return 0;
}

int op_await_ready(const struct op_await_ready *op UNUSED)
{
	TRY(await_message(MESSAGE_READY));
	report(REPORT_CREATED, self.index, (uint32_t)self.pid);
	return 0;
}

int op_await_child(const struct op_await_child *op UNUSED)
{
	return await_message(MESSAGE_REACHED);
}

int op_reach(const struct op_reach *op UNUSED)
{
	return tell_parent(MESSAGE_REACHED, 0);
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
	int failure OWNED = SYS(openat, AT_FDCWD, op->failure, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	TRY(failure);
	close_fd(&self.start);
	close_fd(&self.failure);
	self.start = fd;
	self.failure = failure;
	fd = -1;
	failure = -1;
	return 0;
}

/* Ends this process when a signal is pending that would end a program: nothing else would, all being blocked. */
static void obey_signals(int signals)
{
	struct signalfd_siginfo info;

	while (SYS(read, signals, &info, sizeof(info)) == (int)sizeof(info))
		if (info.ssi_signo != SIGCONT && info.ssi_signo != SIGWINCH && !(info.ssi_signo >= SIGSTOP && info.ssi_signo <= SIGTTOU))
			quit(128 + (int)info.ssi_signo);
}

int op_await_start(const struct op_await_start *op UNUSED)
{
	struct pollfd polls[2] = { { .fd = self.start, .events = POLLIN }, { .events = POLLIN } };
	int signals OWNED = open_signals();

	if (self.start < 0)
		return -EBADF;
	/* The parent may go as soon as it has heard this; it matters no more. */
	self.told_ready = true;
	tell_parent(MESSAGE_READY, 0);
	polls[1].fd = signals;
	/* KERNEL: POLLHUP comes only after a first writer has been there and closed. */
	do {
		TRY(SYS(ppoll, polls, 2, NULL, NULL, 0));
		if (polls[1].revents != 0)
			obey_signals(signals);
	} while (polls[0].revents == 0);
	return 0;
}
