/*
 * The words of a call of `gantry-runtime`, as far as they are understood without the compiler. Only the plainest are; whatever
 * is not goes the long way, through the compiler, which knows them all and makes the same programs.
 */
#include "executor.h"

#define DEFAULT_ROOT "/run/gantry"

/* An option with a value, and where that is kept: NULL when it does not matter to a program. */
struct value_option {
	const char *name;
	const char **kept;
};

/* A switch, and the letter that stands for it among the switches of a call: 0 when it does not matter to a program. */
struct switch_option {
	const char *name;
	char letter;
};

static const struct switch_option global_switches[] = {
	{ "debug", 'l' }, { "systemd-cgroup", 's' }, { NULL, 0 },
};
static const struct switch_option making_switches[] = {
	{ "detach", 'd' }, { "d", 'd' },	     { "keep", 'k' }, { "no-pivot", 'p' }, { "no-new-keyring", 'n' },
	{ "no-subreaper", 0 }, { NULL, 0 },
};
static const char *const verbs[] = { "start", "state", "kill", "delete", "create", "run", NULL };

static const char *const rootless_words[] = { "auto", "true", "false", NULL };

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

/* Adds a letter to the switches; false when it is there or there is no room. */
static bool add_letter(struct call *call, char letter)
{
	for (char *at = call->switches; at < call->switches + sizeof(call->switches) - 1; at++) {
		if (*at == letter)
			return false;
		if (*at != '\0')
			continue;
		*at = letter;
		return true;
	}
	return false;
}

/* Takes the switch `word` (without dashes). False when it is none of `list`, or given twice. */
static bool take_switch(const char *word, const struct switch_option *list, struct call *call)
{
	size_t i = 0;

	while (list[i].name != NULL && !same_text(list[i].name, word))
		i++;
	if (list[i].name == NULL)
		return false;
	if (list[i].letter == 0)
		return true;
	return add_letter(call, list[i].letter);
}

/* Reads the option at `*words` and moves past it. False when it is unknown here, or given twice. */
static bool take_option(char ***words, const struct value_option *values, const struct switch_option *switches, struct call *call)
{
	const char *word = **words + ((**words)[1] == '-' ? 2 : 1);
	const char *value = NULL;

	(*words)++;
	if (take_switch(word, switches, call))
		return true;
	for (; values->name != NULL; values++) {
		value = value_in(word, values->name);
		if (value == NULL && same_text(word, values->name)) {
			value = **words;
			if (value == NULL)
				return false;
			(*words)++;
		}
		if (value != NULL)
			break;
	}
	if (value == NULL || (values->kept != NULL && *values->kept != NULL))
		return false;
	if (values->kept != NULL)
		*values->kept = value;
	return true;
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
	if (id[0] == '\0' || id[0] == '-' || is_dots(id) || strlen(id) > 255)
		return false;
	for (; *id != '\0'; id++)
		if (*id == '/')
			return false;
	return true;
}

/* --rootless shapes the program; its letter is the last. */
static bool take_rootless(struct call *call)
{
	if (call->rootless == NULL || same_text(call->rootless, "auto"))
		return true;
	return add_letter(call, call->rootless[0]);
}

/* The words of `create` and `run` after the verb. */
static bool parse_making(char **words, struct call *call)
{
	const struct value_option values[] = {
		{ "bundle", &call->bundle },	       { "b", &call->bundle },
		{ "pid-file", &call->pid_file },       { "console-socket", &call->console_socket },
		{ "preserve-fds", &call->preserved_fds }, { NULL, NULL },
	};

	while (*words != NULL && (*words)[0] == '-')
		if (!take_option(&words, values, making_switches, call))
			return false;
	/* Paths are the compiler's to complete. */
	if ((call->pid_file != NULL && call->pid_file[0] != '/') || (call->console_socket != NULL && call->console_socket[0] != '/'))
		return false;
	call->id = *words;
	return call->id != NULL && is_plain_id(call->id) && words[1] == NULL && take_rootless(call);
}

/* The value of the variable `name` ("NAME="); NULL when it is missing or empty. */
const char *find_variable(char **envp, const char *name)
{
	size_t size = strlen(name);

	for (; *envp != NULL; envp++)
		if (strlen(*envp) > size && memcmp(*envp, name, size) == 0)
			return *envp + size;
	return NULL;
}

/* Whether this is a user namespace: only the first one maps all ids to themselves. */
static bool is_nested(void)
{
	static const char all[] = "         0          0 4294967295\n";
	char map[sizeof(all)];
	int size = read_file(open_path("/proc/self/uid_map", O_RDONLY), map, sizeof(map));

	return size != (int)sizeof(all) - 1 || memcmp(map, all, sizeof(all) - 1) != 0;
}

/* Where the state of this user's containers is when nobody says; NULL when the compiler has to find it. As src/bin/runtime.ts. */
static const char *default_root(char **envp)
{
	static char path[PATH_BYTES];
	const char *runtime_directory = find_variable(envp, "XDG_RUNTIME_DIR=");
	size_t at = 0;

	if (SYS(geteuid) == 0 && (runtime_directory == NULL || !is_nested()))
		return DEFAULT_ROOT;
	if (runtime_directory == NULL || !append(path, &at, runtime_directory) || !append(path, &at, "/gantry"))
		return NULL;
	return path;
}

/* Understands the words of a call, or not. */
bool parse_call(char **words, char **envp, struct call *call)
{
	const struct value_option values[] = {
		{ "root", &call->root },	   { "log", &call->log }, { "log-format", NULL },
		{ "log-level", &call->log_level }, { "rootless", &call->rootless }, { NULL, NULL },
	};

	while (*words != NULL && (*words)[0] == '-')
		if (!take_option(&words, values, global_switches, call))
			return false;
	if (call->rootless != NULL && !is_among(call->rootless, rootless_words))
		return false;
	if (call->root == NULL)
		call->root = default_root(envp);
	call->verb = *words;
	if (call->verb == NULL || !is_among(call->verb, verbs) || call->root == NULL || call->root[0] != '/')
		return false;
	words++;
	call->makes = same_text(call->verb, "create") || same_text(call->verb, "run");
	if (call->makes)
		return parse_making(words, call);
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
