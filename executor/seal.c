/*
 * Runs the executor from a sealed memfd: a container that gets hold of /proc/PID/exe must not be able to
 * overwrite the file that the next container is started with (CVE-2019-5736).
 */
#include "executor.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Copies all of `from` into the empty memfd `to`. */
static int copy_executable(int from, int to)
{
	int copied;

	do
		copied = SYS(sendfile, to, from, NULL, 1 << 20);
	while (copied > 0);
	return copied;
}

/*
 * Returns the lowest descriptor that was free when this process runs from a sealed memfd; otherwise starts again from one
 * and returns only with an error; `before`, if any, is called once, before that. Descriptors 3 and 4 were looked at before: nothing opened here can be taken for them.
 */
int seal_executable(char **argv, char **envp, int (*before)(char **argv, char **envp))
{
	int exe OWNED = SYS(openat, AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);
	int seals = exe < 0 ? exe : SYS(fcntl, exe, F_GET_SEALS);

	TRY(exe);
	if (seals >= 0 && (seals & SEALS) == SEALS)
		return exe;
	if (before != NULL)
		TRY(before(argv, envp));
	int copy OWNED = SYS(memfd_create, "gantry-executor", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	/* KERNEL: MFD_EXEC is refused before 6.3, where every memfd may be executed. */
	if (copy == -EINVAL)
		copy = SYS(memfd_create, "gantry-executor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	TRY(copy);
	TRY(copy_executable(exe, copy));
	TRY(SYS(fcntl, copy, F_ADD_SEALS, SEALS));
	return SYS(execveat, copy, "", argv, envp, AT_EMPTY_PATH);
}
