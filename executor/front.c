/*
 * The front of `gantry-runtime`: the executor under that name starts the compiler itself and runs what that writes.
 *
 *     gantry-runtime run ID
 *       |-- fork: dist/gantry under the same name and words compiles, writes the program to descriptor 3 and ends
 *       '-- seals itself meanwhile, reads the program and runs it; the compiler's exit costs nobody time
 *
 * What stays beside a container is this process, not a JavaScript engine. After a failed op it becomes the compiler
 * (`gantry-runtime __failed INDEX ERRNO WORD...`), which makes the sentence.
 */
#include "executor.h"

/* The control socket's place, which a front has none of. */
#define COMPILER_PIDFD 4
#define COMPILER_FD 5
#define WORDS_LIMIT 1024

static const char front_name[] = "gantry-runtime";
static const char compiler_name[] = "gantry";

static char **front_argv;
static char **front_envp;

/* True when the executor was called as the front. */
bool is_front(char **argv)
{
	const char *name = argv[0];

	if (name == NULL)
		return false;
	for (const char *at = name; *at != '\0'; at++)
		if (*at == '/')
			name = at + 1;
	return same_text(name, front_name);
}

/* Opens the compiler, which lies beside this executable. */
static int open_compiler(void)
{
	static char path[PATH_BYTES];
	int size = SYS(readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof(path) - sizeof(compiler_name));

	TRY(size);
	while (size > 0 && path[size - 1] != '/')
		size--;
	memcpy(path + size, compiler_name, sizeof(compiler_name));
	return SYS(openat, AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
}

/*
 * Before the executor is sealed: starts the compiler, whose program comes out of descriptor 3. Assumes that all descriptors
 * below FRONT_FDS are open, so that none of those made here is one of them. Returns 0 or -errno.
 */
int start_compiler(char **argv, char **envp)
{
	int pipe[2];
	int pidfd = -1;
	int pid;
	int compiler = open_compiler();

	TRY(compiler);
	TRY(SYS(dup3, compiler, COMPILER_FD, 0));
	TRY(SYS(pipe2, pipe, O_CLOEXEC));
	TRY(SYS(dup3, pipe[0], PROGRAM_FD, 0));
	pid = SYS(clone, SIGCHLD | CLONE_PIDFD, NULL, &pidfd, NULL, 0);
	if (pid != 0) {
		SYS(close, pipe[0]);
		SYS(close, pipe[1]);
		return pid < 0 ? pid : SYS(dup3, pidfd, COMPILER_PIDFD, 0) < 0 ? -EBADF : 0;
	}
	SYS(dup3, pipe[1], PROGRAM_FD, 0);
	SYS(execveat, COMPILER_FD, "", argv, envp, AT_EMPTY_PATH);
	quit(EXIT_FAILED);
}

/* After the executor is sealed: keeps what a failure must be told with, and what tells that the compiler has ended. */
void settle_front(char **argv, char **envp)
{
	SYS(fcntl, COMPILER_FD, F_SETFD, FD_CLOEXEC);
	front_argv = argv;
	front_envp = envp;
	SYS(fcntl, COMPILER_PIDFD, F_SETFD, FD_CLOEXEC);
	self.control = -1;
	self.compiler = COMPILER_PIDFD;
}

/* Called when the compiler has ended: it must not stay a zombie for as long as the container runs. */
void reap_compiler(void)
{
	SYS(waitid, 3 /* P_PIDFD */, self.compiler, NULL, 4 /* WEXITED */, NULL);
	close_fd(&self.compiler);
}

/* After a failure of op `index` and the cleanup: becomes the compiler, which says what happened. Returns when there is no front. */
void tell_by_compiler(uint32_t index, uint32_t error)
{
	static char *words[WORDS_LIMIT + 5];
	static char numbers[2][11];
	uint64_t none = 0;
	size_t count = 4;

	if (front_argv == NULL)
		return;
	numbers[0][format_decimal(numbers[0], index)] = '\0';
	numbers[1][format_decimal(numbers[1], error)] = '\0';
	words[0] = front_argv[0];
	words[1] = (char *)"__failed";
	words[2] = numbers[0];
	words[3] = numbers[1];
	for (char **word = front_argv + 1; *word != NULL && count < WORDS_LIMIT; word++)
		words[count++] = *word;
	SYS(umask, self.umask);
	SYS(rt_sigprocmask, 2 /* SIG_SETMASK */, &none, NULL, sizeof(none));
	SYS(execveat, COMPILER_FD, "", words, front_envp, AT_EMPTY_PATH);
}
