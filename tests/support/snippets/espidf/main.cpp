#include "program.c"

int main() { kaiser_start(); }
