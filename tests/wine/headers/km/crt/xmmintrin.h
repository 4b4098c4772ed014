/* No intrinsic is used by a declaration, and clang's headers want more than there is here. */
