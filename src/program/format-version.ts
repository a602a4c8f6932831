/** Bumped whenever bytes change meaning; executor and encoder of different versions refuse each other. */
export const formatVersion = 2;
