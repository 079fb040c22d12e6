#include "participant/sites.h"

#include <string.h>

#include "core/id.h"

/* Printable, without what separates. Whether anybody can be reached there is found out later. */
static bool address_valid(const char *address)
{
    size_t size = 0;
    while (address[size] > ' ' && address[size] < 127 && address[size] != ',' &&
           address[size] != '=')
        size++;
    return address[size] == '\0' && size >= 1 && size <= LIMIT_ADDRESS_BYTES;
}

bool sites_valid(Wire__Site *const *sites, size_t count)
{
    if (count < 1 || count > SITES_MOST)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!name_valid(sites[i]->participant) || !address_valid(sites[i]->address))
            return false;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(sites[i]->participant, sites[j]->participant) == 0)
                return false;
        }
    }
    return true;
}

size_t sites_text_size(Wire__Site *const *sites, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += strlen(sites[i]->participant) + 1 + strlen(sites[i]->address) + 1;
    return size;
}

static char *put(char *at, const char *text, char end)
{
    size_t size = strlen(text);
    memcpy(at, text, size);
    at[size] = end;
    return at + size + 1;
}

void sites_text(char *text, Wire__Site *const *sites, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        text = put(text, sites[i]->participant, '=');
        text = put(text, sites[i]->address, i + 1 < count ? ',' : '\0');
    }
}

int sites_count(const char *text)
{
    int count = *text != '\0';
    for (; *text; text++)
        count += *text == ',';
    return count;
}

/* Takes one name=address from *at, which ends at the comma or where the text ends. */
static bool take(char **at, struct site_address *out)
{
    char *name = *at, *end = name + strcspn(name, ",");
    char *equals = memchr(name, '=', (size_t)(end - name));
    if (!equals)
        return false;
    *at = *end ? end + 1 : NULL;
    *equals = *end = '\0';
    *out = (struct site_address){name, equals + 1};
    return name_valid(out->name) && address_valid(out->address);
}

int sites_split(char *text, struct site_address *list)
{
    int count = 0;
    for (char *at = text; at;) {
        if (count == SITES_MOST || !take(&at, &list[count]))
            return 0;
        for (int i = 0; i < count; i++) {
            if (strcmp(list[i].name, list[count].name) == 0)
                return 0;
        }
        count++;
    }
    return count;
}
