/*
 * Calls of `gantry-runtime` that need no compiler: `start`, `state`, `kill` and `delete` of a container are programs that
 * `create` has put beside it (ROOT/ID/VERB.program). Only the plainest words are understood here; whatever is not goes the
 * long way, through the compiler, which knows them all and makes the same programs.
 */
#include "executor.h"

#define DEFAULT_ROOT "/run/gantry"
#define RUNTIME_VARIABLE "XDG_RUNTIME_DIR="
#define OFF_VARIABLE "GANTRY_NO_CACHE="

struct call {
	const char *root;
	const char *verb;
	const char *id;
	uint32_t signal;
	bool force;
};

static const char *const value_options[] = { "root", "log", "log-format", "log-level", NULL };
static const char *const switches[] = { "debug", "systemd-cgroup", "rootless=true", "rootless=false", "rootless=auto", NULL };
static const char *const verbs[] = { "start", "state", "kill", "delete", NULL };

static bool is_among(const char *word, const char *const *list)
{
	while (*list != NULL && !same_text(*list, word))
		list++;
	return *list != NULL;
}

/* The value of option `name` when `word` is "name=value", else NULL. */
static const char *value_in(const char *word, const char *name)
{
	size_t size = strlen(name);

	return strlen(word) > size && memcmp(word, name, size) == 0 && word[size] == '=' ? word + size + 1 : NULL;
}

/* Reads the option at `*words` and moves past it. False when it is unknown here. */
static bool take_global(char ***words, struct call *call)
{
	const char *word = **words + ((**words)[1] == '-' ? 2 : 1);
	const char *value = NULL;
	size_t i;

	(*words)++;
	if (is_among(word, switches))
		return true;
	for (i = 0; value_options[i] != NULL && value == NULL; i++) {
		value = value_in(word, value_options[i]);
		if (value == NULL && same_text(word, value_options[i])) {
			value = **words;
			if (value == NULL)
				return false;
			(*words)++;
		}
	}
	if (value != NULL && i == 1)
		call->root = value;
	return value != NULL;
}

/* A signal's number of up to two digits; 0 for what is none. */
static uint32_t signal_number(const char *word)
{
	uint32_t value = 0;

	for (; *word >= '0' && *word <= '9' && value < 100; word++)
		value = value * 10 + (uint32_t)(*word - '0');
	return *word == '\0' && value <= 64 ? value : 0;
}

/* A name that is one component of a path. */
static bool is_plain_id(const char *id)
{
	if (id[0] == '\0' || id[0] == '-' || is_dots(id))
		return false;
	for (; *id != '\0'; id++)
		if (*id == '/')
			return false;
	return true;
}

/* Understands the words of a call, or not. */
static bool parse_call(char **words, struct call *call)
{
	while (*words != NULL && (*words)[0] == '-')
		if (!take_global(&words, call))
			return false;
	call->verb = *words;
	if (call->verb == NULL || !is_among(call->verb, verbs) || call->root == NULL || call->root[0] != '/')
		return false;
	words++;
	if (*words != NULL && same_text(call->verb, "delete") && (same_text(*words, "--force") || same_text(*words, "-f"))) {
		call->force = true;
		words++;
	}
	call->id = *words;
	if (call->id == NULL || !is_plain_id(call->id))
		return false;
	words++;
	call->signal = 15;
	if (*words != NULL && same_text(call->verb, "kill"))
		call->signal = signal_number(*words++);
	return *words == NULL && call->signal != 0;
}

static bool is_switched_off(char **envp)
{
	for (; *envp != NULL; envp++)
		if (strlen(*envp) > sizeof(OFF_VARIABLE) - 1 && memcmp(*envp, OFF_VARIABLE, sizeof(OFF_VARIABLE) - 1) == 0)
			return true;
	return false;
}

/* Appends `text` at `*at`; false when there is no room. */
static bool append(char *path, size_t *at, const char *text)
{
	size_t size = strlen(text);

	if (*at + size >= PATH_BYTES)
		return false;
	memcpy(path + *at, text, size + 1);
	*at += size;
	return true;
}

/* Whether this is a user namespace: only the first one maps all ids to themselves. */
static bool is_nested(void)
{
	static const char all[] = "         0          0 4294967295\n";
	char map[sizeof(all)];
	int size = read_file(open_path("/proc/self/uid_map", O_RDONLY), map, sizeof(map));

	return size != (int)sizeof(all) - 1 || memcmp(map, all, sizeof(all) - 1) != 0;
}

/* Where the state of this user's containers is when nobody says; NULL when the compiler has to find it. */
static const char *default_root(char **envp)
{
	static char path[PATH_BYTES];
	size_t at = 0;

	for (; *envp != NULL; envp++)
		if (strlen(*envp) > sizeof(RUNTIME_VARIABLE) - 1 && memcmp(*envp, RUNTIME_VARIABLE, sizeof(RUNTIME_VARIABLE) - 1) == 0)
			break;
	if (SYS(geteuid) == 0 && (*envp == NULL || !is_nested()))
		return DEFAULT_ROOT;
	if (*envp == NULL || !append(path, &at, *envp + sizeof(RUNTIME_VARIABLE) - 1) || !append(path, &at, "/gantry"))
		return NULL;
	return path;
}

/* True when nobody but us could have written what is open as `fd`. */
static bool is_ours(int fd)
{
	struct statx found;

	if (SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MODE | STATX_UID, &found) < 0)
		return false;
	/* SECURITY: with --root in a place that others may write to, they could have put a program there. */
	return (found.stx_mode & S_IFMT) == S_IFREG && (found.stx_mode & 022) == 0 && found.stx_uid == (uint32_t)SYS(geteuid);
}

/* Opens the program that serves this call; -1 when there is none. */
int open_prepared(char **argv, char **envp)
{
	struct call call = { .root = default_root(envp) };
	char path[PATH_BYTES];
	size_t at = 0;

	if (is_switched_off(envp) || !parse_call(argv + 1, &call))
		return -1;
	if (!append(path, &at, call.root) || !append(path, &at, "/") || !append(path, &at, call.id) || !append(path, &at, "/") ||
	    !append(path, &at, call.verb) || !append(path, &at, call.force ? "-force.program" : ".program"))
		return -1;
	int fd OWNED = SYS(openat, AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0 || !is_ours(fd))
		return -1;
	self.signal = call.signal;
	int program = fd;
	fd = -1;
	return program;
}
