/*
 * The front of `gantry-runtime`: the executor under that name starts the compiler itself and runs what that writes.
 *
 *     gantry-runtime run ID
 *       |-- fork: dist/gantry under the same name and words compiles, writes the program to descriptor 3 and ends
 *       '-- seals itself meanwhile, reads the program and runs it; the compiler's exit costs nobody time
 *
 * The caller's descriptors stay where they are, since the container may be meant to get them: ours take the first places
 * that are free. Which these are, the sealed front is told by the name that it is started with: "5/gantry-runtime".
 *
 * What stays beside a container is this process, not a JavaScript engine. After a failed op it becomes the compiler
 * (`gantry-runtime __failed INDEX ERRNO WORD...`), which makes the sentence.
 */
#include "executor.h"

#define WORDS_LIMIT 1024
#define VARIABLES_LIMIT 1024
/* Set: every call goes through the compiler. */
#define FRONT_OFF_VARIABLE "GANTRY_NO_FRONT="

/* Our descriptors, from the first place on: the program, the compiler's file and, unless the program is cached, its process. */
enum front_place { PLACE_PROGRAM = 0, PLACE_COMPILER = 1, PLACE_PIDFD = 2, PLACE_COUNT = 3 };

static const char front_name[] = "gantry-runtime";
static const char compiler_name[] = "gantry";

static char **front_argv;
static char **front_envp;
static int front_compiler = -1;
/* The call, when its words are understood here. */
static struct call front_call;
static bool front_understands;

/* The process that leave_teller() leaves, and the pipe to it. */
static int teller = -1;
static int teller_pid;

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

/* The first of PLACE_COUNT descriptors from 3 on that are all free. */
static int find_places(void)
{
	int first = 3;

	for (int fd = 3; fd < first + PLACE_COUNT; fd++)
		if (SYS(fcntl, fd, F_GETFD) >= 0)
			first = fd + 1;
	return first;
}

/* Puts `first` before the name that the sealed front is started with. */
static int tell_places(char **argv, int first)
{
	static char name[PATH_BYTES];
	size_t size = strlen(argv[0]) + 1;
	size_t at = format_decimal(name, (uint32_t)first);

	name[at++] = '/';
	if (at + size > sizeof(name))
		return -E2BIG;
	memcpy(name + at, argv[0], size);
	argv[0] = name;
	return 0;
}

/* Takes away again what tell_places() did, and returns the number. */
static int hear_places(char **argv)
{
	char *at = argv[0];
	int first = 0;

	for (; *at >= '0' && *at <= '9'; at++)
		first = 10 * first + (*at - '0');
	/* In place, so that others see the name that the caller used. */
	memmove(argv[0], at + 1, strlen(at + 1) + 1);
	return first;
}

/*
 * The environment with what the compiler's JavaScript engine is to leave out: it runs for some milliseconds, in which code that is
 * compiled or collected by threads of its own only costs. A variable of the caller's comes first, and so holds.
 */
static char **environment_of_compiler(char **envp)
{
	static char *variables[VARIABLES_LIMIT + 3];
	size_t count = 0;

	while (envp[count] != NULL && count < VARIABLES_LIMIT) {
		variables[count] = envp[count];
		count++;
	}
	if (envp[count] != NULL)
		return envp;
	variables[count++] = (char *)(uintptr_t)"BUN_JSC_useJIT=0";
	variables[count++] = (char *)(uintptr_t)"BUN_JSC_useConcurrentGC=0";
	variables[count] = NULL;
	return variables;
}

/* In the new process: becomes the compiler, which writes its program to descriptor 3. */
static void NORETURN run_compiler(int compiler, int program, char **argv, char **envp)
{
	SYS(dup3, program, PROGRAM_FD, 0);
	SYS(execveat, compiler, "", argv, environment_of_compiler(envp), AT_EMPTY_PATH);
	quit(EXIT_FAILED);
}

/* Starts the compiler; `*process` is set to its pidfd. Returns where its program is read. */
static int compile(int compiler, char **argv, char **envp, int *process)
{
	int pipe[2];
	int pid;

	TRY(SYS(pipe2, pipe, O_CLOEXEC));
	int program OWNED = pipe[0];
	int written OWNED = pipe[1];
	pid = SYS(clone, SIGCHLD | CLONE_PIDFD, NULL, process, NULL, 0);
	if (pid == 0)
		run_compiler(compiler, written, argv, envp);
	TRY(pid);
	int result = program;
	program = -1;
	return result;
}

/*
 * Before the executor is sealed: finds the program in the cache or starts the compiler, and puts the program, the compiler's
 * process and its file where the sealed front finds them. Assumes that descriptors 0-2 are open. Returns 0 or -errno.
 */
int start_compiler(char **argv, char **envp)
{
	int process OWNED = -1;
	int compiler OWNED = open_compiler();
	int first;

	TRY(compiler);
	/* Programs of other containers are kept for the host's root only. */
	int program OWNED = front_understands && SYS(geteuid) == 0 ? open_cached(&front_call, envp, compiler) : -1;
	if (program < 0)
		program = compile(compiler, argv, envp, &process);
	TRY(program);
	first = find_places();
	TRY(SYS(dup3, program, first + PLACE_PROGRAM, 0));
	TRY(SYS(dup3, compiler, first + PLACE_COMPILER, 0));
	if (process >= 0)
		TRY(SYS(dup3, process, first + PLACE_PIDFD, 0));
	return tell_places(argv, first);
}

/* After the executor is sealed: keeps what a failure must be told with, and what tells that the compiler has ended. */
void settle_front(char **argv, char **envp)
{
	int first = hear_places(argv);

	self.input = first + PLACE_PROGRAM;
	self.control = -1;
	front_compiler = first + PLACE_COMPILER;
	/* A program of the cache had no compiler that would have to be waited for. */
	if (SYS(fcntl, first + PLACE_PIDFD, F_SETFD, FD_CLOEXEC) == 0)
		self.compiler = first + PLACE_PIDFD;
	SYS(fcntl, front_compiler, F_SETFD, FD_CLOEXEC);
	front_argv = argv;
	front_envp = envp;
}

/* Makes the log file, as callers expect of every call. What cannot be made, the compiler tells. */
static bool make_log(const struct call *call)
{
	int fd OWNED = -1;

	if (call->log == NULL || call->log[0] == '\0')
		return true;
	fd = SYS(openat, AT_FDCWD, call->log, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0644);
	return fd >= 0;
}

/* Takes the prepared program that serves this call, if there is one. The compiler is opened when a failure is to be told. */
bool find_prepared(char **argv, char **envp)
{
	int program;

	/* Started by ourselves, the words have been looked at. */
	if (argv[0][0] >= '0' && argv[0][0] <= '9')
		return false;
	front_understands = find_variable(envp, FRONT_OFF_VARIABLE) == NULL && parse_call(argv + 1, envp, &front_call) &&
			    make_log(&front_call);
	if (!front_understands)
		return false;
	program = open_prepared(&front_call);
	if (program < 0)
		return false;
	self.input = program;
	self.control = -1;
	front_argv = argv;
	front_envp = envp;
	return true;
}

/* Called when the compiler has ended: it must not stay a zombie for as long as the container runs. */
void reap_compiler(void)
{
	SYS(waitid, 3 /* P_PIDFD */, self.compiler, NULL, 4 /* WEXITED */, NULL);
	close_fd(&self.compiler);
}

/*
 * Leaves a process in the caller's namespaces, before this one joins a container's: should something fail, that tells it.
 * Otherwise it ends with this process, whose end closes the pipe.
 */
int leave_teller(void)
{
	uint32_t failure[2];
	int pipe[2];

	if (front_argv == NULL)
		return 0;
	TRY(SYS(pipe2, pipe, O_CLOEXEC));
	teller_pid = SYS(clone, SIGCHLD, NULL, NULL, NULL, 0);
	if (teller_pid != 0) {
		SYS(close, pipe[0]);
		teller = pipe[1];
		return teller_pid < 0 ? teller_pid : 0;
	}
	SYS(close, pipe[1]);
	close_passed_in_parent();
	if (SYS(read, pipe[0], failure, sizeof(failure)) == (int)sizeof(failure))
		tell_by_compiler(failure[0], failure[1]);
	quit(EXIT_FAILED);
}

/* Has that process tell a failure; ends with its exit code. */
static void NORETURN tell_by_teller(uint32_t index, uint32_t error)
{
	uint32_t failure[2] = { index, error };
	int status = EXIT_FAILED << 8;

	SYS(write, teller, failure, sizeof(failure));
	SYS(wait4, teller_pid, &status, 0, NULL);
	quit((status >> 8) & 0xff);
}

/*
 * Goes back to our own processes, among which it is to be told what happened.
 * KERNEL: clone(2): with another pid namespace for its children, a process can have no threads.
 */
static void leave_foreign_processes(void)
{
	int own OWNED = SYS(openat, AT_FDCWD, "/proc/self/ns/pid", O_RDONLY | O_CLOEXEC, 0);

	if (own >= 0)
		SYS(setns, own, CLONE_NEWPID);
}

/* Becomes the compiler, which makes the sentence: `what` it is to tell, of which op, and the errno. Returns when it cannot. */
static void become_compiler(const char *what, uint32_t index, uint32_t error)
{
	static char *words[WORDS_LIMIT + 5];
	static char numbers[2][11];
	uint64_t none = 0;
	size_t count = 4;

	if (front_compiler < 0)
		front_compiler = open_compiler();
	numbers[0][format_decimal(numbers[0], index)] = '\0';
	numbers[1][format_decimal(numbers[1], error)] = '\0';
	words[0] = front_argv[0];
	words[1] = (char *)(uintptr_t)what;
	words[2] = numbers[0];
	words[3] = numbers[1];
	for (char **word = front_argv + 1; *word != NULL && count < WORDS_LIMIT; word++)
		words[count++] = *word;
	leave_foreign_processes();
	SYS(umask, self.umask);
	SYS(rt_sigprocmask, 2 /* SIG_SETMASK */, &none, NULL, sizeof(none));
	SYS(execveat, front_compiler, "", words, environment_of_compiler(front_envp), AT_EMPTY_PATH);
}

/* After a failure of op `index` and the cleanup: becomes the compiler, which says what happened. Returns when there is no front. */
void tell_by_compiler(uint32_t index, uint32_t error)
{
	if (front_argv == NULL)
		return;
	if (teller >= 0)
		tell_by_teller(index, error);
	become_compiler("__failed", index, error);
}

/*
 * Has it said that step `number` of the cleanup failed, which stops nothing, and waits until it is said: what has to be known
 * for the sentence may be removed next.
 */
void warn_by_compiler(uint32_t number, uint32_t error)
{
	int pid;

	if (front_argv == NULL || teller >= 0)
		return;
	leave_foreign_processes();
	pid = SYS(clone, SIGCHLD, NULL, NULL, NULL, 0);
	if (pid == 0) {
		become_compiler("__warned", number, error);
		quit(EXIT_FAILED);
	}
	if (pid > 0)
		SYS(wait4, pid, NULL, 0, NULL);
}
