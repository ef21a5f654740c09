export const greeting = 'built in the overlay';
