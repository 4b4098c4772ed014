/* The library of stack cookies; nothing here is compiled with them. */
int nsemail_no_stack_cookies;
