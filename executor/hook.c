/*
 * Hooks: programs of the config's author that are run at a moment of a container's life, with its state on standard input.
 *
 * Input and output are memory files, so a hook that reads nothing or writes much cannot make anybody wait.
 */
#include "executor.h"

#include <asm/poll.h>

/* Failures of this op beyond errno: this number and a wait status. */
#define FAILED_STATUS 4096
#define SHOWN_BYTES 4096
/* Three numbers for each of the 340 lines that a map may have. */
#define IDS_LIMIT 1020
#define HELPER_SECONDS 30

/* Files that take what hooks write to descriptors 1 and 2; -1 when there is none. */
static int outputs[2] = { -1, -1 };

/* One memory file for input or output. */
static int memory_file(void)
{
	return SYS(memfd_create, "hook", MFD_CLOEXEC);
}

/* The process that the state is about: in a child it is that itself, by the number that it sees. */
static uint32_t pid_of_state(void)
{
	if (self.is_child)
		return (uint32_t)SYS(getpid);
	/* Where both are there, the child is not the container but criu, which restores it. */
	return self.target_pid > 0 ? self.target_pid : (uint32_t)self.pid;
}

static int write_state(int fd, const struct op_hook *op)
{
	char pid[10];
	size_t size = format_decimal(pid, pid_of_state());

	TRY(write_standard(fd, op->head, strlen(op->head)));
	TRY(write_standard(fd, pid, size));
	TRY(write_standard(fd, op->tail, strlen(op->tail)));
	return SYS(lseek, fd, 0, 0);
}

/* The forked process: becomes the hook, or writes the errno to `complaint`. */
static void NORETURN become_hook(const struct op_hook *op, int input, int output, int complaint)
{
	int result;

	SYS(dup3, input, 0, 0);
	for (int fd = 1; fd <= 2; fd++)
		SYS(dup3, outputs[fd - 1] >= 0 ? outputs[fd - 1] : output, fd, 0);
	result = SYS(close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
	SYS(umask, 022);
	reset_signals();
	if (result == 0)
		result = SYS(execve, op->path, op->args, op->env);
	SYS(write, complaint, &result, sizeof(result));
	quit(EXIT_FAILED);
}

/* Shows what a failed hook wrote, as far as it is short. */
static void show(int output)
{
	char text[SHOWN_BYTES];
	int size = SYS(pread64, output, text, sizeof(text), 0);

	if (size > 0)
		write_standard(2, text, (size_t)size);
}

/* Waits for the hook's end; kills it when `timeout` seconds are over. Returns its wait status. */
static int await_hook(int pid, int pidfd, uint32_t timeout)
{
	struct pollfd poll = { .fd = pidfd, .events = POLLIN };
	struct __kernel_timespec limit = { .tv_sec = timeout };
	int status = 0;
	int result;

	do
		result = SYS(ppoll, &poll, 1, timeout == 0 ? NULL : &limit, NULL, 0);
	while (result == -EINTR);
	if (result <= 0)
		SYS(pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	TRY(SYS(wait4, pid, &status, 0, NULL));
	TRY(result);
	return result == 0 ? -ETIMEDOUT : status;
}

/* Forks and waits, with the descriptors that op_hook() has made. */
static int run_hook(const struct op_hook *op, int input, int output)
{
	int pipe[2];
	int pidfd = -1;
	int complaint = 0;
	int result;

	TRY(SYS(pipe2, pipe, O_CLOEXEC));
	int pid = SYS(clone, SIGCHLD | CLONE_PIDFD, NULL, &pidfd, NULL, 0);
	if (pid == 0)
		become_hook(op, input, output, pipe[1]);
	SYS(close, pipe[1]);
	int ours OWNED = pipe[0];
	TRY(pid);
	int handle OWNED = pidfd;
	result = await_hook(pid, handle, op->timeout);
	TRY(result);
	if (SYS(read, ours, &complaint, sizeof(complaint)) == (int)sizeof(complaint))
		return complaint;
	if (result == 0)
		return 0;
	show(output);
	return -(FAILED_STATUS + result);
}

int op_hook(const struct op_hook *op)
{
	int input OWNED = memory_file();
	int output OWNED = memory_file();

	TRY(input);
	TRY(output);
	TRY(write_state(input, op));
	return run_hook(op, input, output);
}

int op_hook_output(const struct op_hook_output *op)
{
	int fd;

	if (op->fd != 1 && op->fd != 2)
		return -EINVAL;
	fd = SYS(openat, AT_FDCWD, op->path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0600);
	TRY(fd);
	close_fd(&outputs[op->fd - 1]);
	outputs[op->fd - 1] = fd;
	return 0;
}

int op_map_ids(const struct op_map_ids *op)
{
	static char *args[IDS_LIMIT + 3];
	static char *env[1];
	struct op_hook hook = { .path = op->program, .args = args, .env = env, .timeout = HELPER_SECONDS };
	char pid[11];
	size_t count = 2;

	if (self.pid <= 0)
		return -ESRCH;
	pid[format_decimal(pid, (uint32_t)self.pid)] = '\0';
	args[0] = (char *)(uintptr_t)op->program;
	args[1] = pid;
	for (char **id = op->ids; *id != NULL; id++) {
		if (count == IDS_LIMIT + 2)
			return -E2BIG;
		args[count++] = *id;
	}
	args[count] = NULL;
	int input OWNED = memory_file();
	int output OWNED = memory_file();
	TRY(input);
	TRY(output);
	return run_hook(&hook, input, output);
}
