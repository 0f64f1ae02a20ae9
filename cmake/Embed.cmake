# berth_embed(TARGET SYMBOL file…): puts files into the program. Gives `const struct embedded SYMBOL[]`, in the
# order in which they are named here, ended by an entry whose name is NULL; struct embedded is in base/embed.h.
function(berth_embed target symbol)
    set(out ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.gen.c)
    list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ OUTPUT_VARIABLE files)
    string(REPLACE ";" "|" joined "${files}")
    add_custom_command(OUTPUT ${out}
        COMMAND ${CMAKE_COMMAND} -D SYMBOL=${symbol} -D OUT=${out} -D "FILES=${joined}"
                -P ${CMAKE_SOURCE_DIR}/cmake/EmbedScript.cmake
        DEPENDS ${files} ${CMAKE_SOURCE_DIR}/cmake/EmbedScript.cmake VERBATIM)
    target_sources(${target} PRIVATE ${out})
endfunction()
