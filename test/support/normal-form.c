/* Reads samples (size, id, size, text) and writes their normal forms (size, bytes; size -1: none), for the test that compares. */
#include "cached.h"

#include <stdio.h>
#include <stdlib.h>

static struct normal_form form;

static char *take(void)
{
	uint32_t size;
	char *text;

	if (fread(&size, sizeof(size), 1, stdin) != 1)
		return NULL;
	text = malloc(size + 1u);
	if (fread(text, 1, size, stdin) != size)
		return NULL;
	text[size] = '\0';
	return text;
}

int main(void)
{
	for (char *id = take(); id != NULL; id = take()) {
		char *text = take();
		int32_t size = -1;

		if (begin_form(&form, id) && normalize(&form, text, strlen(text), true) && normalize_word(&form, text))
			size = (int32_t)form.size;
		fwrite(&size, sizeof(size), 1, stdout);
		if (size > 0)
			fwrite(form.bytes, 1, form.size, stdout);
		free(text);
		free(id);
	}
	return 0;
}
