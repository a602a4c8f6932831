/* Prints the session keyring of this process: its number and what the kernel says of it. */
#include <linux/keyctl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	char text[256] = "none";
	long key = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);

	if (key >= 0)
		syscall(SYS_keyctl, KEYCTL_DESCRIBE, key, text, sizeof(text));
	printf("%ld %s\n", key, text);
	return 0;
}
