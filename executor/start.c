/*
 * Where the kernel enters, and the five functions that compilers call on their own.
 * The build with sanitizers has a libc, which brings both; only main() is needed there.
 */
#include "executor.h"

#ifdef GANTRY_HOSTED

/* Assumes what the kernel promises: argv and envp end in NULL. */
int main(int argc UNUSED, char **argv, char **envp)
{
	executor_main(argv, envp);
}

#else

/* The stack holds argc, argv..., NULL, envp..., NULL (System V ABI and AAPCS64 alike). */
#if defined(__x86_64__)
__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call start\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n"
	"_start:\n"
	"	mov x29, #0\n"
	"	mov x30, #0\n"
	"	mov x0, sp\n"
	"	bl start\n");
#endif

void start(char **stack) NORETURN;

/* Called once by _start with the first stack pointer. */
void start(char **stack)
{
	size_t argc = (size_t)stack[0];

	executor_main(stack + 1, stack + 1 + argc + 1);
}

/* The ranges do not overlap. */
void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	return memmove(to, from, size);
}

/* The ranges may overlap. */
void *memmove(void *to, const void *from, size_t size)
{
	uint8_t *out = to;
	const uint8_t *in = from;

	if ((uintptr_t)out - (uintptr_t)in < size) {
		while (size-- > 0)
			out[size] = in[size];
		return to;
	}
#if defined(__x86_64__)
	__asm__ volatile("rep movsb" : "+D"(out), "+S"(in), "+c"(size) : : "memory");
#else
	for (; size > 0; size--)
		*out++ = *in++;
#endif
	return to;
}

/* `to` has room for `size` bytes. */
void *memset(void *to, int byte, size_t size)
{
	uint8_t *out = to;

#if defined(__x86_64__)
	__asm__ volatile("rep stosb" : "+D"(out), "+c"(size) : "a"(byte) : "memory");
#else
	for (; size > 0; size--)
		*out++ = (uint8_t)byte;
#endif
	return to;
}

/* Both sides have `size` bytes. */
int memcmp(const void *left, const void *right, size_t size)
{
	const uint8_t *a = left;
	const uint8_t *b = right;

	for (; size > 0; size--, a++, b++)
		if (*a != *b)
			return *a - *b;
	return 0;
}

/* `text` ends in a NUL. */
size_t strlen(const char *text)
{
	const char *end = text;

	while (*end != '\0')
		end++;
	return (size_t)(end - text);
}

#endif
